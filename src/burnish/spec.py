"""What a model knows of its data, and all that it knows.

A spec is made by the DataModule once its data is at hand, and travels with the weights: in the
run folder (``spec.json``) and in every checkpoint. It is plain data with a JSON round trip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from burnish.errors import RunError

# The first two ids of every vocabulary. Padding occurs nowhere but behind the end of a text, so
# that padded ids carry the true lengths with them.
PAD, UNKNOWN = 0, 1
RESERVED = ("<pad>", "<unk>")


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
        for name in ("channels", "height", "width"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, found {value!r}")
        if not (len(self.mean) == len(self.std) == self.channels):
            raise ValueError(f"mean and std need one value for each of {self.channels} channels")
        if not all(isinstance(v, int | float) and isfinite(v) for v in (*self.mean, *self.std)):
            raise ValueError("mean and std must be finite numbers")
        if min(self.std) <= 0:
            raise ValueError(f"std must be greater than 0, found {min(self.std)}")
        _check_names(self.class_names)

    @property
    def num_classes(self) -> int:
        """Number of classes, at least 1."""
        return len(self.class_names)

    def to_dict(self) -> dict[str, Any]:
        """Plain containers only, so that checkpoints load with ``weights_only=True``."""
        return {"kind": "image", **_plain(self)}


@dataclass(frozen=True)
class TextSpec:
    """Texts as the net receives them: token ids, int64 ``[batch, length]``, padded with 0 behind.

    Args:
        class_names: one a class, in the order of the label indices.
        tokenizer: ``char``, ``word`` or ``bpe``.
        vocabulary: the token of each id; the first two are :data:`RESERVED`.
        max_length: in tokens; longer texts are cut off there.
        lowercase: whether texts are lower-cased first.
        merges: for ``bpe`` the pairs to join, most frequent first, with a space between the two.
    """

    class_names: tuple[str, ...]
    tokenizer: Literal["char", "word", "bpe"]
    vocabulary: tuple[str, ...]
    max_length: int
    lowercase: bool = False
    merges: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.vocabulary[: len(RESERVED)] != RESERVED:
            raise ValueError(f"the vocabulary must begin with {', '.join(RESERVED)}")
        if not all(isinstance(token, str) for token in (*self.vocabulary, *self.merges)):
            raise ValueError("the vocabulary and the merges must be texts")
        if self.tokenizer == "char" and any(len(t) != 1 for t in self.vocabulary[len(RESERVED) :]):
            raise ValueError("every token of a vocabulary of characters must be one character")
        known = set(self.vocabulary) if self.merges else set()
        for merge in self.merges:
            left, _, right = merge.partition(" ")
            if not {left, right, left + right} <= known:
                raise ValueError(f"the merge {merge!r} is not of tokens of the vocabulary")
        if self.tokenizer not in ("char", "word", "bpe"):
            raise ValueError(f"tokenizer must be char, word or bpe, found {self.tokenizer!r}")
        if self.max_length < 1:
            raise ValueError(f"max_length must be at least 1, found {self.max_length}")
        _check_names(self.class_names)

    @property
    def num_classes(self) -> int:
        """Number of classes, at least 1."""
        return len(self.class_names)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the reserved ones included."""
        return len(self.vocabulary)

    def to_dict(self) -> dict[str, Any]:
        """Plain containers only, so that checkpoints load with ``weights_only=True``."""
        return {"kind": "text", **_plain(self)}


def _check_names(names: object) -> None:
    if not (isinstance(names, tuple) and names and all(isinstance(name, str) for name in names)):
        raise ValueError("class names must be a list of texts, at least one")
    if len(set(names)) != len(names):
        raise ValueError("class names repeat")


Spec = ImageSpec | TextSpec
_KINDS: dict[str, type[ImageSpec] | type[TextSpec]] = {"image": ImageSpec, "text": TextSpec}


def _plain(spec: Spec) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(spec).items()}


def spec_from_dict(values: Mapping[str, Any]) -> Spec:
    """Rebuild a spec from its ``to_dict``.

    Raises:
        RunError: if the mapping is not such a dictionary.
    """
    fields = dict(values)
    kind = fields.pop("kind", None)
    if kind not in _KINDS:
        raise RunError(f"spec: kind must be {' or '.join(_KINDS)}, found {kind!r}")
    try:
        plain: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()
        }
        return _KINDS[kind](**plain)
    except (TypeError, ValueError) as error:
        raise RunError(f"spec: {error}") from error
