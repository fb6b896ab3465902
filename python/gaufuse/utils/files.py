"""Writing files so that nothing is ever lost: whole, or not at all, and if not, with the reason."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from gaufuse.utils.write_error import CheckedOutput, WriteError, naming


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls write(file) on a temporary file beside `path`, then moves it there.

    Whatever goes wrong, what was at `path` before is untouched and no half file is left. A link
    stays one, to the new file; a device or a pipe (/dev/null, /dev/stdout) is written to, since
    nothing can take its place.

    Raises:
        WriteError: it cannot be written, with `path` and the reason, such as a full disk.
    """
    path = Path(path)
    with naming(path):
        special = path.exists() and not path.is_file() and not path.is_dir()
    if special:
        write_in_folder(path, write)
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    with naming(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path))
    try:
        with naming(path), os.fdopen(descriptor, "wb") as file:
            _write_checked(file, write)
            file.flush()
            os.fsync(file.fileno())
        with naming(path):
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def write_folder_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Calls write(folder) on a temporary folder beside `path`, brings all files in it to the disk
    and renames it: at any moment there is a whole folder at `path`, or none.

    A process that is killed leaves at most a folder `.NAME.*` behind: `remove_leftovers`.

    Raises:
        WriteError: it cannot be written, with the file's place below `path` and the reason.
    """
    path = Path(path)
    with naming(path):
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
    try:
        with _named_below(temporary, path):
            write(temporary)
        with naming(path):
            for entry in temporary.rglob("*"):
                _sync(entry)
            os.chmod(temporary, 0o777 & ~_umask())
            _sync(temporary)
            _put_in_place(temporary, path)
            _sync(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _put_in_place(new: Path, path: Path) -> None:
    """What was there is removed when the new folder has its place, not before: between the two
    renames there is neither, and removing the files of a large data set takes minutes."""
    if not path.exists():
        os.rename(new, path)
        return
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
    os.rename(path, aside / path.name)
    try:
        os.rename(new, path)
    except BaseException:
        os.rename(aside / path.name, path)
        aside.rmdir()
        raise
    shutil.rmtree(aside)


def write_in_folder(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls write(file) on `path` itself: in a folder that nobody sees before it is whole.

    Raises:
        WriteError: it cannot be written, with the reason.
    """
    with naming(Path(path)), Path(path).open("wb") as file:
        _write_checked(file, write)


def _write_checked(file: BinaryIO, write: Callable[[BinaryIO], object]) -> None:
    output = CheckedOutput(file)
    with output.first_failure():
        write(cast(BinaryIO, output))  # it has what libraries use of one


@contextmanager
def _named_below(temporary: Path, path: Path) -> Iterator[None]:
    """A user knows the folder by the name that it is to have."""
    try:
        yield
    except WriteError as error:
        if not error.path.is_relative_to(temporary):
            raise
        raise WriteError(path / error.path.relative_to(temporary), error.cause) from error


def _prefix(path: Path) -> str:
    """Of temporary files: hidden, and short enough for any name that fits a file system."""
    return f".{path.name[:32]}."


def remove_folder(path: Path) -> None:
    """Removes a folder, if it is there, without its ever being seen half empty."""
    if not path.exists():
        return
    hidden = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
    os.rename(path, hidden / path.name)
    shutil.rmtree(hidden)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes left behind in a folder that we alone write to."""
    for entry in folder.glob(".*"):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def write_text(path: str | Path, text: str) -> None:
    """UTF-8, with the line ends that the text has; as `write_atomically`."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: str | Path, value: object) -> None:
    """JSON; gzip where the name ends in .gz. NaN is an error, not a value.

    Raises:
        TypeError, ValueError: JSON has no such value.
        WriteError: as `write_atomically`.
    """
    data = json.dumps(value, indent=1, allow_nan=False).encode()
    if str(path).endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    write_atomically(path, lambda file: file.write(data))


def ensure_writable_folder(path: str | Path) -> Path:
    """Makes the folder if it is not there and tries to write, before hours are spent.

    Raises:
        ValueError: it cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to the output folder {path}: {error.strerror}") from None
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
