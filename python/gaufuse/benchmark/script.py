"""What the scripts in benchmarks/ have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def run_script(
    description: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int | None],
    **defaults: object,
) -> int:
    """Parses the command line and runs; a problem of the user's is one sentence and exit status 2,
    and what `run` returns is the status otherwise (None: 0).

    Args:
        defaults: of options that are not on the command line.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.set_defaults(**defaults)
    try:
        status = run(parser.parse_args())
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    return status or 0
