"""The command `gaufuse`."""

from __future__ import annotations

import argparse
import io
import os
import sys

from gaufuse.cli import (
    analyse,
    bench,
    convert,
    data,
    detect,
    evaluate,
    exchange,
    experiment,
    fuse,
    info,
    label,
    plot,
    report,
    simulate,
    train,
    tune,
)
from gaufuse.cli.command import Command
from gaufuse.training.stop_signal import Stopped
from gaufuse.utils.write_error import naming, naming_full_disks

COMMANDS: tuple[Command, ...] = (
    train,
    detect,
    evaluate,
    analyse,
    experiment,
    report,
    plot,
    convert,
    data,
    exchange,
    label,
    fuse,
    tune,
    simulate,
    bench,
    info,
)

DESCRIPTION = """\
Weakly supervised temporal action localization with Gaussian weighted instance fusion, LinPro and
delta pseudo labels (CVPR 2023), from video labels alone.
"""

EPILOG = """\
a first run, on simulated videos:
  gaufuse simulate runs/simulated
  gaufuse train runs/simulated --output runs/first
  gaufuse evaluate runs/first/predictions.json runs/simulated/annotations.json --subset testing
"""


def build_parser() -> argparse.ArgumentParser:
    """Of all commands; what it parses has the chosen one's `run`."""
    parser = argparse.ArgumentParser(
        "gaufuse",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        summary, _, details = (command.__doc__ or "").partition("\n\n")
        subparser = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=details,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; a problem of the user's is one sentence on stderr and exit status 2. A
    run that SIGTERM or Ctrl-C ended has 143 or 130."""
    _print_any_name()
    options = build_parser().parse_args(arguments)
    try:
        with naming_full_disks():
            status = options.run(options)
        with naming("standard output"):
            sys.stdout.flush()  # a full disk behind it shows here, not after the exit status
    except BrokenPipeError:
        # Whoever read our output has seen enough (`gaufuse bench | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a shell reports a process that SIGPIPE ended
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        print(f"gaufuse: error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"gaufuse: {stopped}", file=sys.stderr)
        return stopped.exit_status
    except KeyboardInterrupt:
        print("gaufuse: interrupted", file=sys.stderr)
        return 130
    return status or 0


def _print_any_name() -> None:
    """Names come from outside: one that the terminal's encoding lacks, or that is no text at all,
    must not end a command after its work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
