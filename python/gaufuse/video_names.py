"""Names of videos: as file names, and the same video's in two sources."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")

LONGEST_BYTES = 251  # a file's name has 255 at most, and ".npy" comes on top
LOOKED_AT = 16  # names from which a prefix or suffix is guessed


def is_safe_name(name: str) -> bool:
    """Whether a name is one path component that any file system takes: names come from files that
    are not trusted, and become names of files and keys of archives."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return 0 < size <= LONGEST_BYTES and name[0] != "." and not set(name) & set("/\\\0\r\n")


def check_safe_names(names: Iterable[str], source: object) -> None:
    """
    Raises:
        ValueError: with the first name that is not safe.
    """
    for name in names:
        if not is_safe_name(name):
            raise ValueError(f"{source}: video name {name!r:.300} cannot be a file's name")


def same_form(name: str) -> str:
    """The name's composed Unicode form (NFC): macOS writes accents apart from their letters."""
    return unicodedata.normalize("NFC", name)


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


def take_apart(template: str, name: str) -> str | None:
    """The video's own name in one that a template such as "v_{video}" made; None if it did not."""
    if template == "{video}":
        return name
    before, after = split_template(template)
    longer = len(name) > len(before) + len(after)
    if not (longer and name.startswith(before) and name.endswith(after)):
        return None
    return name[len(before) : len(name) - len(after)]


def split_template(template: str, option: str = "--template") -> tuple[str, str]:
    """
    Raises:
        ValueError: {video} is not in it once.
    """
    if template.count("{video}") != 1:
        raise ValueError(f"{option} must contain {{video}} once, got {template!r}")
    before, _, after = template.partition("{video}")
    return before, after


def template_between(short: Collection[str], long: Collection[str]) -> str | None:
    """The template that makes names of `long` of those of `short`, for at least half of the fewer;
    None where there is none. Meant for two sources whose names do not match."""
    long = {same_form(name) for name in long}
    short = {same_form(name) for name in short}
    votes: Counter[tuple[str, str]] = Counter()
    # Evenly drawn, longest first: a long name is not found in others by chance.
    ordered = sorted(short, key=lambda name: (-len(name), name))
    for name in ordered[:: max(1, len(ordered) // LOOKED_AT)][:LOOKED_AT]:
        for other in long:
            at = other.find(name)
            if at >= 0 and other != name:
                votes[other[:at], other[at + len(name) :]] += 1
    for (before, after), _ in votes.most_common(3):
        found = sum(f"{before}{name}{after}" in long for name in short)
        if 2 * found >= min(len(short), len(long)):
            return f"{before}{{video}}{after}"
    return None


def mismatch_hint(
    names: Collection[str],
    others: Collection[str],
    where: str,
    where_others: str,
    option: str,
    option_of_others: str,
) -> str:
    """How names that do not match differ, and the option that helps, as the end of a sentence.

    Args:
        option: takes the template by which `names` are made of the others; option_of_others: the
            other way round.
    """
    template = template_between(others, names)
    if template is not None:
        return f"; the names of {where} look like {template}: say {option} '{template}'"
    template = template_between(names, others)
    if template is not None:
        return f"; the names of {where_others} look like {template}: say {option_of_others} " + (
            f"'{template}'"
        )
    if {name.casefold() for name in names} & {name.casefold() for name in others}:
        return "; some differ in upper and lower case only: rename them"
    return f"; {where} has {_few(names)}, {where_others} {_few(others)}"


def _few(names: Collection[str]) -> str:
    shown = [repr(name) for name, _ in zip(names, range(3), strict=False)]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "") if shown else "none"
