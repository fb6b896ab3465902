"""Files that torch.save wrote, read without trust."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import torch


def load_torch_file(path: str | Path) -> object:
    """What torch.load gives with weights_only, on the CPU: no code of the file is run.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    path = Path(path)
    try:
        _check_not_packed(path)
        return _load(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except Exception as error:  # whatever the bytes of a broken file lead to
        raise ValueError(f"{path} is not a readable torch file ({first_line(error)})") from None


def load_torch_bytes(data: bytes) -> object:
    """The same of bytes; raises whatever broken ones lead to."""
    _check_not_packed(io.BytesIO(data))
    return _load(io.BytesIO(data))


def _load(file: Path | io.BytesIO) -> object:
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of old protocols
        return torch.load(file, map_location="cpu", weights_only=True)


def _check_not_packed(file: Path | io.BytesIO) -> None:
    """torch.save packs nothing, but torch.load unpacks: a small file could fill all memory."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        packed = [entry.filename for entry in archive.infolist() if entry.compress_type]
    if packed:
        raise ValueError(f"{packed[0]!r} in it is compressed, which torch.save never does")


def is_whole(tensor: torch.Tensor) -> bool:
    """A plain tensor with a stored value for each of its own. One with strides of zero can be said
    to be of any size, and is it when it is copied."""
    return (
        tensor.layout == torch.strided
        and not tensor.is_quantized
        and tensor.device.type == "cpu"
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def first_line(error: Exception) -> str:
    """Torch's messages go on with advice to load without care."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
