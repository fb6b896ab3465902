"""`python -m gaufuse`: the command line, also under torchrun."""

import sys

from gaufuse.cli.main import main

sys.exit(main())
