"""Names of videos: as file names, and the same video's in two sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from gaufuse_ext.name_templates import same_form

T = TypeVar("T")

LONGEST_BYTES = 251  # a file's name has 255 at most, and ".npy" comes on top


def is_safe_name(name: str) -> bool:
    """Whether a name is one path component that any file system takes: names come from files that
    are not trusted, and become names of files and keys of archives."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return 0 < size <= LONGEST_BYTES and name[0] != "." and not set(name) & set("/\\\0\r\n")


def check_safe_names(names: Iterable[str], source: object) -> None:
    """Refuses names that cannot be those of files (`is_safe_name`).

    Raises:
        ValueError: with the first name that is not safe.
    """
    for name in names:
        if not is_safe_name(name):
            raise ValueError(f"{source}: video name {name!r:.300} cannot be a file's name")


class ByName(Mapping[str, T]):
    """A table by video that finds a name in whichever Unicode form it is written.

    Raises:
        ValueError: two names are the same but for their form.
    """

    def __init__(self, table: Mapping[str, T], source: object):
        self._table = table
        self._names: dict[str, str] = {}
        for name in table:
            first = self._names.setdefault(same_form(name), name)
            if first != name:
                raise ValueError(
                    f"{source}: video {name!r} is there twice, in two Unicode forms: {first!a} "
                    f"and {name!a}"
                )

    form = staticmethod(same_form)

    def __getitem__(self, name: str) -> T:
        return self._table[self._names[same_form(name)]]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and same_form(name) in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)
