from __future__ import annotations

from collections.abc import Callable

import pytest

from burnish.spec import ImageSpec


@pytest.fixture
def make_spec() -> Callable[..., ImageSpec]:
    def make(channels: int = 3, height: int = 32, width: int = 32, classes: int = 5) -> ImageSpec:
        names = tuple(f"class {i}" for i in range(classes))
        return ImageSpec(channels, height, width, names, (0.5,) * channels, (0.25,) * channels)

    return make
