"""What a net asks of its spec before it is built."""

from __future__ import annotations

from burnish.errors import ModelError
from burnish.spec import ImageSpec, TextSpec


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
        raise ModelError(_wrong_kind(net, "images", spec))
    if min(spec.height, spec.width) < min_side:
        raise ModelError(
            f"{net} takes images from {min_side}x{min_side} pixels upwards, found "
            f"{spec.height}x{spec.width}: enlarge the images or choose model=mlp"
        )


def require_text(net: str, spec: object) -> None:
    """Refuse data that is no text.

    Args:
        net: the net's name, as the message shall call it.
        spec: what the data says of itself.

    Raises:
        ModelError: saying what was found and what the net takes.
    """
    if not isinstance(spec, TextSpec):
        raise ModelError(_wrong_kind(net, "texts", spec))


def _wrong_kind(net: str, taken: str, spec: object) -> str:
    fitting = "a model for this kind of data"
    if isinstance(spec, ImageSpec):
        fitting = "a model for images, such as model=simple_cnn"
    elif isinstance(spec, TextSpec):
        fitting = "a model for texts, such as model=bilstm"
    return (
        f"{net} takes {taken}, but the data describes itself with a {type(spec).__name__}: "
        f"choose {fitting}"
    )
