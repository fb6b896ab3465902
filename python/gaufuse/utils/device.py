"""What the host has to do with a device."""

from __future__ import annotations

import torch


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
