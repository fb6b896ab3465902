"""The same video's names in two sources: in other Unicode forms, with a prefix or a suffix."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypeVar

T = TypeVar("T")

LOOKED_AT = 16  # names from which a prefix or suffix is guessed


def same_form(name: str) -> str:
    """The name's composed Unicode form (NFC): macOS writes accents apart from their letters."""
    return unicodedata.normalize("NFC", name)


def take_apart(template: str, name: str) -> str | None:
    """The video's own name in one that a template such as "v_{video}" made; None if it did not."""
    if template == "{video}":
        return name
    before, after = split_template(template)
    longer = len(name) > len(before) + len(after)
    if not (longer and name.startswith(before) and name.endswith(after)):
        return None
    return name[len(before) : len(name) - len(after)]


def by_own_names(
    table: Mapping[str, T], template: str, source: object, option: str
) -> dict[str, T]:
    """A table by the videos' own names, of one whose keys a template made of them.

    Raises:
        ValueError: the template has not {video} once, or did not make a key.
    """
    split_template(template, option)
    found: dict[str, T] = {}
    for name, entry in table.items():
        own = take_apart(template, name)
        if own is None:
            raise ValueError(f"{source}: video {name!r} does not look like {template!r} ({option})")
        found[own] = entry
    return found


def split_template(template: str, option: str = "--template") -> tuple[str, str]:
    """What stands before and after {video} in a template; option: what it is called in errors.

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
            if other != name:
                votes.update(_surroundings(name, other))
    found = {
        (before, after): sum(f"{before}{name}{after}" in long for name in short)
        for (before, after), _ in votes.most_common(LOOKED_AT)
    }
    best = max(found, key=found.__getitem__, default=None)
    if best is None or 2 * found[best] < min(len(short), len(long)):
        return None
    return f"{best[0]}{{video}}{best[1]}"


def _surroundings(name: str, other: str) -> list[tuple[str, str]]:
    """What is before and after a name, wherever another one holds it."""
    at, found = other.find(name) if name else -1, []
    while at >= 0:
        found.append((other[:at], other[at + len(name) :]))
        at = other.find(name, at + 1)
    return found


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
    shown = f": {where} with {_few(names)}, {where_others} with {_few(others)}"
    template = template_between(others, names)
    if template is not None:
        return f"{shown}; the names of {where} look like {template}: say {option} '{template}'"
    template = template_between(names, others)
    if template is not None:
        return (
            f"{shown}; the names of {where_others} look like {template}: say {option_of_others} "
            f"'{template}'"
        )
    if {name.casefold() for name in names} & {name.casefold() for name in others}:
        return f"{shown}; some differ in upper and lower case only: rename them"
    return shown


def _few(names: Collection[str]) -> str:
    shown = [repr(name) for name, _ in zip(names, range(3), strict=False)]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "") if shown else "none"
