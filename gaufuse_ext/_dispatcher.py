"""Whether torch's dispatcher has more to do for an operation than to call us.

For plain tensors on the CPU, of which no gradient is asked, with nobody watching or transforming,
it has not; and its way from Python to Python and back takes more time than all else that a call on
one short video does. What is asked of torch here is private to it: where a version of it lacks any
of that, every call goes through the dispatcher.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch.autograd import forward_ad

_TENSORS = {torch.Tensor, torch.nn.Parameter}  # not their subclasses, which may have own ways


def _state() -> int:
    """The keys that the calling thread adds to those of every tensor: for torch.func's transforms,
    modes (fake tensors among them), tracing. (Those that it takes away only leave less to do.)"""
    return int(torch._C._dispatch_tls_local_include_set().raw_repr())


def _keys(tensor: torch.Tensor) -> int:
    """What the dispatcher goes by: the device, the layout, a transform's wrapper, bits that delay a
    negation, ..."""
    return int(torch._C._dispatch_keys(tensor).raw_repr())


_STATES: list[int] = []
_KEYS: list[int] = []


def _note_what_is_plain() -> None:
    """Nothing is, where torch cannot be asked."""
    try:
        for inference in (False, True):
            with torch.inference_mode(inference):
                _in_use()
                state, keys = _state(), _keys(torch.empty(0))
            _STATES.append(state)
            _KEYS.append(keys)
    except (AttributeError, TypeError):
        _STATES.clear()


def _in_use() -> bool:
    """Whether a mode, a profiler or forward differentiation goes on in this thread."""
    return (
        torch._C._len_torch_function_stack() > 0
        or torch._C._autograd._profiler_enabled()
        or forward_ad._current_level >= 0
    )


# A new thread has no modes, whoever imports us under one.
_thread = threading.Thread(target=_note_what_is_plain)
_thread.start()
_thread.join()


def is_differentiated() -> bool:
    """Whether torch.func's grad, vjp, jvp or what is made of them goes on in this thread."""
    if torch.compiler.is_compiling():
        return False
    try:
        kinds = torch._C._functorch.TransformType
        transforms = torch._C._functorch.get_interpreter_stack() or []
        return any(own.key() in (kinds.Grad, kinds.Jvp) for own in transforms)
    except AttributeError:
        return False


def is_needed(tensors: tuple[Any, ...]) -> bool:
    """Whether an operation on these tensors, or None, must go through the dispatcher."""
    if not _STATES or torch.compiler.is_compiling() or _state() not in _STATES or _in_use():
        return True
    for tensor in tensors:
        if tensor is None:
            continue
        if type(tensor) not in _TENSORS or _keys(tensor) not in _KEYS:
            return True
        if tensor.requires_grad and torch.is_grad_enabled():
            return True
    return False
