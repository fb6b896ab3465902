"""Why a file could not be written, said so that the user knows which file and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_REASONS = {
    errno.ENOSPC: "the disk is full: free some space there, or name another folder",
    errno.EDQUOT: "the disk quota is used up: free some space there, or name another folder",
    errno.EFBIG: "the file is larger than the file system or a limit (`ulimit -f`) allows",
    errno.ENAMETOOLONG: "the name is too long for the file system",
}


class WriteError(OSError):
    """A file that could not be written, and why.

    Attributes:
        path: the file, or the folder.
        cause: what the operating system said.
    """

    def __init__(self, path: Path, cause: OSError):
        reason = _REASONS.get(cause.errno or 0)
        said = os.strerror(cause.errno) if cause.errno else str(cause)
        super().__init__(f"cannot write {path}: {said}" + (f"; {reason}" if reason else ""))
        self.path = path
        self.cause = cause
        self.errno = cause.errno


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """What goes wrong while `path` is written names it.

    Raises:
        WriteError: for every OSError that does not name its file already.
    """
    try:
        yield
    except (WriteError, BrokenPipeError):  # the second is a reader's end, not a failure
        raise
    except OSError as error:
        raise WriteError(Path(path), error) from error


@contextmanager
def naming_full_disks() -> Iterator[None]:
    """For what is written without a name at hand, such as tables to standard output.

    Raises:
        WriteError: where a write failed for want of space.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        raise WriteError(Path(error.filename or "a file, or standard output"), error) from error


class CheckedOutput:
    """A binary file that remembers its first failure.

    Libraries that write through it may hide the reason: torch reports a full disk as "enforce fail
    at inline_container.cc", and NumPy, given a real file, as "N requested and M written".
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._failure: OSError | None = None
        self.flush, self.tell, self.seek = file.flush, file.tell, file.seek

    def write(self, data: bytes) -> int:
        """As the file's own; keeps the error of the first write that fails."""
        try:
            return self._file.write(data)
        except OSError as error:
            self._failure = self._failure or error
            raise

    def seekable(self) -> bool:
        """As the file's own: torch and zipfile ask."""
        return self._file.seekable()

    @contextmanager
    def first_failure(self) -> Iterator[None]:
        """Raises what failed first, in place of whatever a library made of it.

        Raises:
            OSError: the first failure of a write, whatever became of it above.
        """
        try:
            yield
        except Exception as error:
            if self._failure is None:
                raise
            raise self._failure from error
        if self._failure is not None:
            raise self._failure
