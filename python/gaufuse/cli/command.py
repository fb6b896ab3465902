"""What the file of a command has; its module docstring is the command's help."""

from __future__ import annotations

import argparse
from typing import Protocol


class Command(Protocol):
    """A module of this folder that `main.COMMANDS` lists; its first line is its summary."""

    __name__: str  # the last part is the command's name
    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Tells the parser what the command takes. Called at every start, whichever the command is:
        it must be quick."""

    def run(self, options: argparse.Namespace) -> object:
        """Does it. Returns the exit status, None for 0.

        Raises:
            ValueError, TypeError, OSError, RuntimeError: a problem of the user's, as one sentence;
                `main` prints it and ends with status 2.
        """
