import sys

from gaufuse.cli.main import main

sys.exit(main())
