"""Checks of shapes, dtypes, devices and options; messages name the argument and what it was.

(Checks of values are in csrc/cpu/check_values.cpp.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch

FLOATS = (torch.float32, torch.float64)
GivenCounts = torch.Tensor | Sequence[int] | int
Counts = GivenCounts | None


def describe(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)} ({value.dtype}, {value.device})"
    return f"{value!r} ({type(value).__name__})"


def check_tensor(name: str, value: object, shape: str, dims: Collection[int]) -> torch.Tensor:
    """A float32 or float64 tensor with one of the allowed numbers of dimensions."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape {shape}, got {describe(value)}")
    if value.dtype not in FLOATS:
        raise TypeError(f"{name} must be float32 or float64, got {describe(value)}")
    if value.dim() not in dims:
        raise ValueError(f"{name} must have shape {shape}, got {describe(value)}")
    return value


def check_segments(name: str, value: object) -> torch.Tensor:
    shape = "(G, N, 2), or (N, 2) for one group,"
    value = check_tensor(name, value, shape, (2, 3))
    if value.shape[-1] != 2:
        raise ValueError(f"{name} must have shape {shape} got {describe(value)}")
    return value


def check_like(
    name: str, value: object, shape: tuple[int, ...], model: torch.Tensor
) -> torch.Tensor:
    """A tensor of the given shape with the dtype and the device of `model`."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor of shape {tuple(shape)}, got {describe(value)}"
        )
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {describe(value)}")
    if value.dtype != model.dtype or value.device != model.device:
        raise TypeError(f"{name} must be {model.dtype} on {model.device}, got {describe(value)}")
    return value


def check_counts(name: str, value: GivenCounts, groups: int, device: torch.device) -> torch.Tensor:
    """(G,) int64 on `device`; an int or a 0-d tensor stands for one group."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
            raise TypeError(f"{name} must hold integers, got {describe(value)}")
        if value.device != device:
            raise ValueError(f"{name} must be on {device}, got {describe(value)}")
    else:
        value = _integers(name, value).to(device)
    if value.dim() == 0:
        value = value.reshape(1)
    if value.shape != (groups,):
        raise ValueError(f"{name} must have shape ({groups},), got {describe(value)}")
    return value.to(torch.int64).contiguous()


def _integers(name: str, value: Sequence[int] | int) -> torch.Tensor:
    try:
        # Not dtype=torch.int64 at once: that would cut 1.5 to 1 without a word.
        tensor = torch.tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must hold integers, got {describe(value)}") from error
    if tensor.numel() == 0:
        tensor = tensor.to(torch.int64)
    if tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex():
        raise TypeError(f"{name} must hold integers, got {describe(value)}")
    return tensor


def check_choice(name: str, value: object, choices: Collection[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def check_integer(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer, torch.SymInt)):
        raise TypeError(f"{name} must be an integer, got {describe(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return value  # type: ignore[return-value]  # torch.compile's SymInt stays symbolic


def check_number(name: str, value: object) -> float:
    if not isinstance(value, (int, float, np.integer, np.floating, torch.SymInt, torch.SymFloat)):
        raise TypeError(f"{name} must be a number, got {describe(value)}")
    return float(value)


def check_positive(name: str, value: float) -> float:
    if not 0.0 < check_number(name, value) < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return float(value)


def check_not_negative(name: str, value: float) -> float:
    if not 0.0 <= check_number(name, value) < float("inf"):
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    return float(value)


def check_price(name: str, value: float) -> float:
    """Products of it with weights, which lie there too, and with lengths are finite."""
    if not check_not_negative(name, value) <= 1e100:
        raise ValueError(f"{name} must lie in [0, 1e100], got {value!r}")
    return float(value)


def check_fraction(name: str, value: float) -> float:
    if not 0.0 <= check_number(name, value) <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], got {value!r}")
    return float(value)


def check_finite_number(name: str, value: float) -> float:
    if not -float("inf") < check_number(name, value) < float("inf"):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return float(value)
