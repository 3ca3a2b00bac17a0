"""Test-time augmentation: several views of one image, their probabilities averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.deploy.predictor import Predicted, Predictor, softmax
from burnish.errors import ConfigError
from burnish.spec import ImageSpec

KINDS = ("none", "flip")


class Mirrored(Predictor):
    """The mean over every image and its mirror image.

    As in the evaluation of He et al. 2016 (https://arxiv.org/abs/1512.03385), of two views only.

    Args:
        plain: the predictor of single images.
    """

    def __init__(self, plain: Predictor) -> None:
        super().__init__(plain.spec, plain.run, plain.name)

    def predict_read(self, items: Sequence[Any]) -> Predicted:
        """Classify one batch of what ``preprocess.read`` returned."""
        images = self.preprocess.batch(items)
        views = images, np.ascontiguousarray(images[..., ::-1])
        probabilities = np.mean([softmax(self.run(view)) for view in views], axis=0)
        return Predicted(probabilities, self.spec.class_names)


def augmented(predictor: Predictor, tta: str) -> Predictor:
    """The predictor with test-time augmentation.

    Args:
        predictor: of single inputs.
        tta: of :data:`KINDS`.

    Raises:
        ConfigError: if the net's inputs are not to be mirrored.
    """
    if tta == "none":
        return predictor
    if not isinstance(predictor.spec, ImageSpec):
        raise ConfigError("tta: flip mirrors images, and this net classifies texts; use none")
    if not predictor.spec.mirror:
        raise ConfigError(
            "tta: flip shows the net mirror images, which do not show their class in this data "
            "(digits, letters: mirror is false in spec.json); use none"
        )
    return Mirrored(predictor)
