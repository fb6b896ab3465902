"""The torch.library namespace `torch.ops.gaufuse` and the way from tensors to the native module.

An operation module defines a schema, one implementation for CPU and CUDA that allocates outputs
and calls the native function, and a fake kernel that only allocates. Values are checked by the
native CPU code: a check here would be a data-dependent branch under torch.compile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

from gaufuse_ext._fork import kernel_threads

try:
    from gaufuse_ext import _native
except ImportError as error:
    raise ImportError(
        "gaufuse_ext's native module is missing or does not load; install the package with "
        f"'pip install .' from the source folder and import it from elsewhere ({error})"
    ) from error

_LIBRARY = torch.library.Library("gaufuse", "DEF")


def define_operation(schema: str, implementation: Callable, fake: Callable) -> Callable:
    """Registers an operation for CPU and CUDA tensors and returns it."""
    name = schema.partition("(")[0]
    _LIBRARY.define(schema, tags=torch.Tag.pt2_compliant_tag)
    for key in ("CPU", "CUDA"):
        _LIBRARY.impl(name, implementation, key)
    torch.library.register_fake(f"gaufuse::{name}", fake, lib=_LIBRARY)
    return getattr(torch.ops.gaufuse, name).default


def register_gradient(name: str, backward: Callable, setup_context: Callable) -> None:
    torch.library.register_autograd(
        f"gaufuse::{name}", backward, setup_context=setup_context, lib=_LIBRARY
    )


def call_native(function: Callable, tensor: torch.Tensor, *arguments) -> None:
    """Calls a native function where `tensor` lies, in its dtype; tensors go as their addresses."""
    arguments = [_aligned(x) if isinstance(x, torch.Tensor) else x for x in arguments]
    addresses = [
        argument.data_ptr()
        if isinstance(argument, torch.Tensor)
        else (0 if argument is None else argument)
        for argument in arguments
    ]
    on_cuda = tensor.is_cuda
    with torch.cuda.device(tensor.device) if on_cuda else contextlib.nullcontext():
        stream = torch.cuda.current_stream().cuda_stream if on_cuda else 0
        launch = _native.Launch(on_cuda, tensor.dtype == torch.float64, kernel_threads(), stream)
        function(launch, *addresses)


def _aligned(tensor: torch.Tensor) -> torch.Tensor:
    """Itself, but for a view of bytes (torch.frombuffer) that begins in the middle of a number."""
    return tensor.clone() if tensor.data_ptr() % tensor.element_size() else tensor
