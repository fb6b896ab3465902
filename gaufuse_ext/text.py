"""Text files from outside: lists of names, tables, settings, written by whatever editor."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

# UTF-32's mark begins with UTF-16's, so it is looked for first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path) -> str:
    """A file's text, without the byte order mark that it may begin with; UTF-8 where there is none.

    Line ends are newlines, whatever system wrote them.

    Raises:
        FileNotFoundError, ValueError: it is not there, or not such a file.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder, not a text file") from None
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not {encoding.removesuffix('-sig').upper()} text ({error.reason} at byte "
            f"{error.start}): save it as UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path} is not UTF-8 text (it has zero bytes): save it as UTF-8")
    return io.StringIO(text, newline=None).read()


def lines_of(path: str | Path) -> list[str]:
    """The lines that are not empty, without the spaces around them.

    (Not str.splitlines, which also breaks lines at characters that names may hold.)

    Raises:
        FileNotFoundError, ValueError: as `read_text`.
    """
    stripped = (line.strip() for line in read_text(path).split("\n"))
    return [line for line in stripped if line]
