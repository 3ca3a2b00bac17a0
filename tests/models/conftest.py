from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest
import torch

from burnish.spec import ImageSpec

CLOSED = "http://127.0.0.1:9"


@pytest.fixture
def make_spec() -> Callable[..., ImageSpec]:
    def make(channels: int = 3, height: int = 32, width: int = 32, classes: int = 5) -> ImageSpec:
        names = tuple(f"class {i}" for i in range(classes))
        return ImageSpec(channels, height, width, names, (0.5,) * channels, (0.25,) * channels)

    return make


@pytest.fixture
def make_images() -> Callable[..., torch.Tensor]:
    def make(channels: int = 3, side: int = 64) -> torch.Tensor:
        generator = torch.Generator().manual_seed(3)
        return torch.randn(2, channels, side, side, generator=generator)

    return make


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The libraries' caches are empty, and what they would ask leads to a closed port."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", CLOSED)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", CLOSED)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path
