from __future__ import annotations

import pickle

import pytest
import torch

from burnish.errors import RunError
from burnish.runs.weights import read_checkpoint


class Hostile:
    def __init__(self, target) -> None:
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("raw", [False, True])
def test_a_checkpoint_with_a_call_is_refused_and_nothing_runs(tmp_path, raw):
    path, mark = tmp_path / "best.ckpt", tmp_path / "executed"
    content = {"state_dict": {}, "x": Hostile(mark)}
    if raw:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(RunError, match="nothing of it was"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04broken"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "best.ckpt"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"best.ckpt: "):
        read_checkpoint(path)


def test_something_else_saved_by_torch_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "x.ckpt")
    with pytest.raises(RunError, match="no state_dict"):
        read_checkpoint(tmp_path / "x.ckpt")
