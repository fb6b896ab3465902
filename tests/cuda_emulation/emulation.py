"""Lets gaufuse_ext run on the emulated CUDA kernels, and checks that they agree with themselves."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import torch

from gaufuse_ext import ops

OPERATIONS = tuple(module.name for module in pkgutil.iter_modules(ops.__path__))
# The order in which fibers run, and how many blocks a grid may have: a kernel must do with fewer
# than it asked for (it strides over the rest), and give the same bits in each.
ASCENDING, DESCENDING, SHUFFLED = range(3)
SCHEDULES = ((ASCENDING, 0, 2**32 - 1), (DESCENDING, 0, 2), (SHUFFLED, 1, 1))


class Emulation:
    """Runs operations of gaufuse_ext with the emulated kernels, on CPU tensors."""

    def __init__(self, path: Path) -> None:
        spec = importlib.util.spec_from_file_location("gaufuse_emulated._native", path)
        self.native = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.native)
        self.library = ctypes.CDLL(str(path))
        self.library.emulation_set.argtypes = [ctypes.c_int, ctypes.c_uint64, ctypes.c_uint]
        self.library.emulation_add_buffer.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_size_t,
            ctypes.c_bool,
            ctypes.c_char_p,
        ]
        self.library.run_broken_kernel.restype = ctypes.c_char_p
        self.is_on = True
        self.launches = 0

    def set_buffers(self, tensors: list[tuple[str, torch.Tensor, bool]]) -> None:
        """(argument's name, tensor, is it an input?) of the next launch."""
        self.library.emulation_forget_buffers()
        for name, tensor, is_input in tensors:
            if tensor.numel():
                size = tensor.element_size()
                self.library.emulation_add_buffer(
                    tensor.data_ptr(), tensor.numel() * size, size, is_input, name.encode()
                )

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Every operation runs its CUDA path, in all SCHEDULES, which must agree to the bit."""
        with contextlib.ExitStack() as stack:
            for name in OPERATIONS:
                module = importlib.import_module(f"gaufuse_ext.ops.{name}")
                operation = self._operation(module, module._operation)
                stack.enter_context(mock.patch.object(module, "_operation", operation))
            yield

    def on_cpu(self, function: Callable) -> object:
        """function(), with the real CPU kernels."""
        self.is_on = False
        try:
            return function()
        finally:
            self.is_on = True

    def _operation(self, module, real: Callable) -> Callable:
        def operation(*arguments):
            if not self.is_on:
                return real(*arguments)
            results = [
                self._run(module, arguments, number, *schedule)
                for number, schedule in enumerate(SCHEDULES)
            ]
            for result, schedule in zip(results, SCHEDULES, strict=True):
                pairs = zip(_all(result), _all(results[0]), strict=True)
                for place, (found, expected) in enumerate(pairs):
                    assert _bits(found) == _bits(expected), (
                        f"result {place} of {module.__name__} is not the same in schedule "
                        f"{schedule}, or was not written in full"
                    )
            return results[0]

        return operation

    def _run(self, module, arguments, number, order, seed, max_blocks):
        allocated = []

        def garbage(allocate):
            # Other garbage for each schedule: what is not written is not the same.
            def allocate_garbage(*args, **kwargs):
                tensor = allocate(*args, **kwargs)
                tensor.flatten().view(torch.uint8).fill_((0xFF, 0x7E, 0x01)[number])
                allocated.append(tensor)
                return tensor

            return allocate_garbage

        def call(function, tensor, /, **arguments):
            tensors = {k: x for k, x in arguments.items() if isinstance(x, torch.Tensor)}
            outputs = {x.data_ptr() for x in allocated}
            self.set_buffers([(k, x, x.data_ptr() not in outputs) for k, x in tensors.items()])
            self.library.emulation_set(order, seed, max_blocks)
            addresses = {k: x.data_ptr() for k, x in tensors.items()}
            launch = {"cuda": True, "float64": tensor.dtype == torch.float64, "threads": 1}
            given = arguments | addresses | launch | {"stream": None}
            getattr(self.native, function.__name__)(**given)
            self.launches += 1

        with (
            mock.patch.object(module, "call_native", call),
            mock.patch.object(torch.Tensor, "is_cuda", True, create=True),
            mock.patch.object(torch.Tensor, "new_empty", _method(garbage, torch.Tensor.new_empty)),
            mock.patch.object(torch, "empty_like", garbage(torch.empty_like)),
        ):
            return module._implementation(*arguments)


def _method(wrap: Callable, method: Callable) -> Callable:
    wrapped = wrap(method)
    return lambda self, *args, **kwargs: wrapped(self, *args, **kwargs)


def _all(result: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.numpy().tobytes()
