"""What a model knows of its data, and all that it knows.

A spec is made by the DataModule once its data is at hand, and travels with the weights: in the
run folder (``spec.json``) and in every checkpoint. It is plain data with a JSON round trip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from burnish.errors import RunError


@dataclass(frozen=True)
class ImageSpec:
    """Images as the net receives them: float tensors ``[batch, channels, height, width]``.

    Args:
        channels: 1 for grey, 3 for RGB.
        height: pixels.
        width: pixels.
        class_names: one a class, in the order of the label indices.
        mean: per channel, of pixels scaled to [0, 1]; subtracted before the net.
        std: per channel, of pixels scaled to [0, 1]; divides before the net.
        mirror: whether a mirrored image still shows its class (digits and letters do not).
    """

    channels: int
    height: int
    width: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror: bool = True

    def __post_init__(self) -> None:
        if not (len(self.mean) == len(self.std) == self.channels):
            raise ValueError(f"mean and std need one value for each of {self.channels} channels")
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError("class names repeat")

    @property
    def num_classes(self) -> int:
        """Number of classes, at least 1."""
        return len(self.class_names)

    def to_dict(self) -> dict[str, Any]:
        """Plain containers only, so that checkpoints load with ``weights_only=True``."""
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        return {"kind": "image", **plain}


def spec_from_dict(values: Mapping[str, Any]) -> ImageSpec:
    """Rebuild a spec from :meth:`ImageSpec.to_dict`.

    Raises:
        RunError: if the mapping is not such a dictionary.
    """
    fields = dict(values)
    if fields.pop("kind", None) != "image":
        raise RunError(f"spec: kind must be 'image', found {values.get('kind')!r}")
    try:
        plain: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()
        }
        return ImageSpec(**plain)
    except (TypeError, ValueError) as error:
        raise RunError(f"spec: {error}") from error
