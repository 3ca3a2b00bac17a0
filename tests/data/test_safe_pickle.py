from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from burnish.data import safe_pickle
from burnish.errors import DataError


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_survive_every_protocol(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "batch"
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    file.write_bytes(pickle.dumps({b"data": array, "n": [1, (2.5, None)], b"k": b"\xff"}, protocol))
    content = safe_pickle.load(file)
    assert np.array_equal(content[b"data"], array)
    assert content["n"] == [1, (2.5, None)]
    assert content[b"k"] == b"\xff"


@pytest.mark.parametrize("module", ["numpy.core", "numpy._core"])
def test_reads_numpy_1_and_2_names(tmp_path: Path, module: str) -> None:
    content = pickle.dumps(np.arange(3), protocol=2)
    renamed = content.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", module.encode())
    (tmp_path / "batch").write_bytes(renamed)
    assert safe_pickle.load(tmp_path / "batch").tolist() == [0, 1, 2]


class _Call:
    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("function", [os.mkdir, exec, eval, getattr, __import__])
def test_a_hostile_pickle_runs_nothing(
    tmp_path: Path, protocol: int, function: Callable[..., object]
) -> None:
    trace = tmp_path / "trace"
    arguments: tuple[object, ...] = {
        os.mkdir: (str(trace),),
        getattr: ([], "append"),
        __import__: ("antigravity",),
    }.get(function, (f"__import__('os').mkdir({str(trace)!r})",))
    (tmp_path / "batch").write_bytes(pickle.dumps({b"data": _Call(function, *arguments)}, protocol))
    with pytest.raises(DataError, match=rf"batch: refused \w+\.{function.__name__}"):
        safe_pickle.load(tmp_path / "batch")
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nload\n(U\x01xtR.",
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00zlibtR.",
        b"Pelsewhere\n.",
    ],
)
def test_refuses_what_is_not_admitted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match="refused"):
        safe_pickle.load(tmp_path / "batch")


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x02}q\x01(U", b"\x80\x02."])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match=r"batch: .*"):
        safe_pickle.load(tmp_path / "batch")
