"""What a net asks of its spec before it is built."""

from __future__ import annotations

from burnish.errors import ModelError
from burnish.spec import ImageSpec


def require_image(net: str, spec: object, min_side: int = 1) -> None:
    """Refuse data that is no image, or images too small for the net's downsampling.

    Args:
        net: the net's name, as the message shall call it.
        spec: what the data says of itself.
        min_side: smallest height and width in pixels.

    Raises:
        ModelError: saying what was found and what the net takes.
    """
    if not isinstance(spec, ImageSpec):
        raise ModelError(
            f"{net} takes images, but the data describes itself with a {type(spec).__name__}: "
            "choose a model for this kind of data"
        )
    if min(spec.height, spec.width) < min_side:
        raise ModelError(
            f"{net} takes images from {min_side}x{min_side} pixels upwards, found "
            f"{spec.height}x{spec.width}: enlarge the images or choose model=mlp"
        )
