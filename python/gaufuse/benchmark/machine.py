"""The machine that a measurement was made on: what matters to speed, nothing that identifies it."""

from __future__ import annotations

import os
import platform

import numpy as np
import torch

from gaufuse_ext import build_info


def describe_machine(device: torch.device) -> dict[str, object]:
    """As JSON takes it; "gpu" is None on the CPU."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "gpu": _gpu(device),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "build": build_info(),
    }


def available_memory(device: torch.device) -> int:
    """Bytes free now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as file:
            sizes = dict(line.split(":") for line in file)
        return int(sizes["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 4 << 30  # not Linux: what any machine has


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu(device: torch.device) -> dict[str, object] | None:
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "multiprocessors": properties.multi_processor_count,
        "torch_cuda": torch.version.cuda,
    }
