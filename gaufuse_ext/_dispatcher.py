"""Whether torch's dispatcher has more to do for an operation than to call us.

For plain tensors on the CPU, of which no gradient is asked, with nobody watching or transforming,
it has not; and its way from Python to Python and back takes more time than all else that a call on
one short video does.
"""

from __future__ import annotations

import threading

import torch
from torch.autograd import forward_ad

_include = torch._C._dispatch_tls_local_include_set
_key_set = torch._C._dispatch_keys

_TENSORS = (torch.Tensor, torch.nn.Parameter)  # not their subclasses, which may have own ways


def _state() -> int:
    """The keys that the calling thread adds to those of every tensor: for torch.func's transforms,
    modes (fake tensors among them), tracing. (Those that it takes away only leave less to do.)"""
    return _include().raw_repr()


def _keys(tensor: torch.Tensor) -> int:
    """What the dispatcher goes by: the device, the layout, a transform's wrapper, bits that delay a
    negation, ..."""
    return _key_set(tensor).raw_repr()


_STATES: list[int] = []
_KEYS: list[int] = []


def _note_what_is_plain() -> None:
    for inference in (False, True):
        with torch.inference_mode(inference):
            _STATES.append(_state())
            _KEYS.append(_keys(torch.empty(0)))


# A new thread has no modes, whoever imports us under one.
_thread = threading.Thread(target=_note_what_is_plain)
_thread.start()
_thread.join()


def is_needed(arguments: tuple[object, ...]) -> bool:
    """Whether an operation with these arguments must go through the dispatcher."""
    if (
        torch.compiler.is_compiling()
        or _state() not in _STATES
        or torch._C._len_torch_function_stack() > 0
        or torch._C._autograd._profiler_enabled()
        or forward_ad._current_level >= 0
    ):
        return True
    for argument in arguments:
        if not isinstance(argument, torch.Tensor):
            continue
        if type(argument) not in _TENSORS or _keys(argument) not in _KEYS:
            return True
        if argument.requires_grad and torch.is_grad_enabled():
            return True
    return False
