"""The torch.library namespace `torch.ops.gaufuse` and the way from tensors to the native module.

An operation module defines a schema, one implementation for CPU and CUDA that allocates outputs
and calls the native function, and a fake kernel that only allocates. Values are checked by the
native CPU code: a check here would be a data-dependent branch under torch.compile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from gaufuse_ext import _dispatcher
from gaufuse_ext._fork import kernel_threads
from gaufuse_ext._native_interface import INTERFACE

try:
    from gaufuse_ext import _native as _native
except ImportError as error:
    raise ImportError(
        "gaufuse_ext's native module is missing or does not load; install the package with "
        f"'pip install .' from the source folder and import it from elsewhere ({error})"
    ) from error

if getattr(_native, "interface", None) != INTERFACE:
    raise ImportError(
        f"gaufuse_ext's native module, {_native.__file__}, was built of another version than the "
        "Python code beside it; build it again: 'pip install .' from the source folder, or "
        "'make setup' in a checkout (after a change of its functions: csrc/bindings/stubs.py)"
    )

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# What takes an operation's place where torch.func differentiates it.
_UNDER_TRANSFORMS: dict[str, Callable[..., Any]] = {}

_LIBRARY = torch.library.Library("gaufuse", "DEF")


def define_operation(
    schema: str, implementation: Callable[Parameters, Result], fake: Callable[..., Result]
) -> Callable[Parameters, Result]:
    """Registers an operation for CPU and CUDA tensors and returns it: called as the implementation
    is, by position. The schema names its tensors first."""
    name = schema.partition("(")[0]
    _LIBRARY.define(schema, tags=torch.Tag.pt2_compliant_tag)
    for key in ("CPU", "CUDA"):
        _LIBRARY.impl(name, implementation, key)
    torch.library.register_fake(f"gaufuse::{name}", fake, lib=_LIBRARY)
    overload = getattr(torch.ops.gaufuse, name).default
    dispatched: Callable[Parameters, Result] = overload
    are_tensors = ["Tensor" in str(argument.type) for argument in overload._schema.arguments]
    tensors = sum(are_tensors)
    if not all(are_tensors[:tensors]):
        raise ValueError(f"{schema} must name its tensors first")

    def operation(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        if not _dispatcher.is_needed(arguments[:tensors]):
            return implementation(*arguments, **keywords)
        if name in _UNDER_TRANSFORMS and _dispatcher.is_differentiated():
            result: Result = _UNDER_TRANSFORMS[name](*arguments)
            return result
        return dispatched(*arguments, **keywords)

    return operation


def register_gradient(
    name: str, backward: Callable[..., object], setup_context: Callable[..., None]
) -> None:
    """Makes an operation differentiable, as torch.library.register_autograd describes, and also by
    torch.func.grad and its like, of which what that registers knows nothing."""
    torch.library.register_autograd(
        f"gaufuse::{name}", backward, setup_context=setup_context, lib=_LIBRARY
    )
    members = {
        "generate_vmap_rule": True,
        "forward": staticmethod(getattr(torch.ops.gaufuse, name).default),
        "setup_context": staticmethod(setup_context),
        "backward": staticmethod(backward),
    }
    function: Any = type(name, (torch.autograd.Function,), members)
    _UNDER_TRANSFORMS[name] = function.apply


def call_native(
    function: Callable[..., None], tensor: torch.Tensor, /, **arguments: object
) -> None:
    """Calls a native function where `tensor` lies, in its dtype; of tensors it takes the address.

    Raises:
        TypeError: the function's parameter struct (csrc/gaufuse) has other fields.
    """
    arguments["cuda"] = tensor.is_cuda
    arguments["float64"] = tensor.dtype == torch.float64
    arguments["threads"] = kernel_threads()
    arguments["stream"] = None
    if not tensor.is_cuda:
        _call(function, arguments)
        return
    with torch.cuda.device(tensor.device):
        arguments["stream"] = torch.cuda.current_stream().cuda_stream
        _call(function, arguments)


def _call(function: Callable[..., None], arguments: dict[str, object]) -> None:
    try:
        function(**arguments)
    except BufferError:  # views of bytes (torch.frombuffer) that begin in the middle of a number
        function(**{name: _aligned(value) for name, value in arguments.items()})


def _aligned(value: object) -> object:
    if isinstance(value, torch.Tensor) and value.data_ptr() % value.element_size():
        return value.clone()
    return value
