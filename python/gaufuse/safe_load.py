"""Files from outside, read without trust."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

# What a pickled NumPy array of lists, numbers and strings is made of, and nothing else.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}")
        return super().find_class(module, name)


def load_array(path: str | Path) -> np.ndarray:
    """An .npy file; an object array is unpickled by a loader that admits NumPy arrays of plain
    values only (also those that Python 2 wrote).

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if not dtype.hasobject:
                file.seek(0)
                return np.load(file, allow_pickle=False)
            array = _ArrayUnpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except (
        ValueError,
        EOFError,
        IndexError,
        AttributeError,
        TypeError,
        pickle.UnpicklingError,
    ) as error:
        raise ValueError(f"{path} is not a readable .npy file ({error})") from None
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise ValueError(f"{path} holds no array of the shape that its header names")
    return array
