"""XML from outside, read without trust: no DTD, so no entities that grow or fetch files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

MAX_BYTES = 256 << 20
MAX_DEPTH = 64


class _Depth:
    """Refuses what no annotation file has, before a tree is built of it."""

    def __init__(self) -> None:
        self._depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"elements are more than {MAX_DEPTH} deep")

    def end(self, name: str) -> None:
        self._depth -= 1


def _refuse(*_: object) -> None:
    raise ValueError("a DOCTYPE is not allowed")


def read_xml(path: str | Path) -> ElementTree.Element:
    """The root of a file.

    Raises:
        FileNotFoundError, ValueError: with the path; no XML, or XML with a DOCTYPE, too large, or
            nested too deeply.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder, not an XML file") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} holds more than {MAX_BYTES >> 20} MiB of XML")
    depth = _Depth()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = depth.start
    parser.EndElementHandler = depth.end
    try:
        parser.Parse(data, True)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"{path} is not readable XML ({error})") from None
