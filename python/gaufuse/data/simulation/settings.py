"""The kinds of settings that simulations have, and what a simulated video is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from gaufuse.config import Count, NotNegative, Positive, Probability
from gaufuse_ext.array_types import Array, Floats, Integers

Bounds = TypeVar("Bounds", bound=tuple[float, float])


@dataclass(frozen=True)
class SimulatedVideo:
    """What is written of one video."""

    name: str
    subset: str  # training or testing
    features: Array  # (T, D) float16
    segments: Floats  # (N, 2) seconds, by start
    classes: Integers  # (N,) int


def _rising(bounds: Bounds) -> Bounds:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound comes first, got {list(bounds)}")
    return bounds


Whole = Annotated[int, Field(ge=0)]
CountRange = Annotated[tuple[Count, Count], AfterValidator(_rising)]
WholeRange = Annotated[tuple[Whole, Whole], AfterValidator(_rising)]
_Snippets = Annotated[float, Field(gt=0.0, le=1e4)]
SnippetRange = Annotated[tuple[_Snippets, _Snippets], AfterValidator(_rising)]
# Bounded: what is drawn from them must fit into memory.
_Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]
_Phases = Annotated[int, Field(ge=1, le=64)]
PhaseRange = Annotated[tuple[_Phases, _Phases], AfterValidator(_rising)]
SecondsRange = Annotated[tuple[_Seconds, _Seconds], AfterValidator(_rising)]
ProbabilityRange = Annotated[tuple[Probability, Probability], AfterValidator(_rising)]

__all__ = [
    "Count",
    "CountRange",
    "NotNegative",
    "PhaseRange",
    "Positive",
    "Probability",
    "ProbabilityRange",
    "SecondsRange",
    "SimulatedVideo",
    "SnippetRange",
    "WholeRange",
]
