"""Unpickling that can build NumPy arrays and plain containers, and can call nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy._core import multiarray, numeric

from burnish.errors import DataError


def load(path: Path) -> Any:
    """Read a pickle of strings, numbers, containers and arrays; Python 2's strings as latin-1.

    Raises:
        DataError: if the file is damaged, or names anything but what an array is made of.
            Nothing that it names is imported or called.
    """
    with path.open("rb") as file:
        try:
            return _ArrayUnpickler(file, encoding="latin1").load()
        except pickle.UnpicklingError as error:
            raise DataError(f"{path}: {error}") from error
        # A damaged pickle can fail anywhere in the opcodes, with any of the ordinary exceptions.
        except Exception as error:
            raise DataError(
                f"{path}: damaged or no pickle ({type(error).__name__}: {error}); fetch it again"
            ) from error


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in protocol 2: ``_codecs.encode`` for this one encoding."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"refused to encode to {encoding!r}")
    return text.encode("latin1")


# An array's reconstructor under the names that NumPy 1 and 2 gave it, and protocol 5's.
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}
for _core in ("numpy.core", "numpy._core"):
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = multiarray._reconstruct
    _ADMITTED[f"{_core}.multiarray", "scalar"] = multiarray.scalar
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = numeric._frombuffer  # type: ignore[attr-defined]


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The admitted object of this name; looks nothing up."""
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"refused {module}.{name}: a data file may hold arrays and plain containers only"
            )
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refused: it stands for an object outside the file."""
        raise pickle.UnpicklingError(f"refused a reference to something outside the file: {pid!r}")
