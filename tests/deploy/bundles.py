"""Bundles of nets so small that their logits can be computed by hand; made in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from burnish.deploy.bundle import Bundle, Sample, write_card
from burnish.deploy.preprocess import preprocess
from burnish.spec import RESERVED, ImageSpec, Spec, TextSpec

IMAGES = ImageSpec(3, 6, 8, ("cat", "dog", "猫<b>"), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
TEXTS = TextSpec(("bad", "good"), "char", (*RESERVED, *"abcdefgh "), max_length=12)


def image_bundle(folder: Path, spec: ImageSpec = IMAGES, seed: int = 0, **card: Any) -> Bundle:
    """Logits are one matrix times the flattened, normalised pixels, plus a bias."""
    weight, bias = image_weights(spec, seed)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
    ]
    shape = ["N", spec.channels, spec.height, spec.width]
    entry = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 256, (4, *shape[1:]), dtype=np.uint8)
    logits = image_logits(inputs, spec, seed)
    return _bundle(folder, spec, nodes, entry, {"weight": weight, "bias": bias}, inputs, logits,
                   card)  # fmt: skip


def image_weights(spec: ImageSpec, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """``[pixels, K]`` and ``[K]``, float32."""
    rng = np.random.default_rng(1000 + seed)
    size = spec.channels * spec.height * spec.width
    weight = rng.normal(size=(size, spec.num_classes)).astype(np.float32) / 10
    return weight, rng.normal(size=spec.num_classes).astype(np.float32)


def image_logits(
    pixels: NDArray[np.uint8], spec: ImageSpec = IMAGES, seed: int = 0
) -> NDArray[np.float32]:
    """By hand, of uint8 ``[N, C, H, W]``."""
    weight, bias = image_weights(spec, seed)
    mean, std = (np.array(v).reshape(-1, 1, 1) for v in (spec.mean, spec.std))
    normal = (pixels / 255 - mean) / std
    found: NDArray[np.float32] = (normal.reshape(len(pixels), -1) @ weight + bias).astype("f4")
    return found


def text_bundle(folder: Path, spec: TextSpec = TEXTS, seed: int = 0, **card: Any) -> Bundle:
    """Logits are the sum of one row of a table for each token; that of padding is zero."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axis"], ["logits"], keepdims=0),
    ]
    entry = helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", "L"])
    weights = {"table": text_table(spec, seed), "axis": np.array([1])}
    texts = ["abc", "hg fe", "z", "abcdefgh abcdefgh"]
    logits = text_logits(texts, spec, seed)
    return _bundle(folder, spec, nodes, entry, weights, np.array(texts), logits, card)


def text_table(spec: TextSpec, seed: int = 0) -> NDArray[np.float32]:
    """``[vocabulary, K]``, float32."""
    rng = np.random.default_rng(2000 + seed)
    table = rng.normal(size=(spec.vocabulary_size, spec.num_classes)).astype(np.float32)
    table[0] = 0
    return table


def text_logits(texts: list[str], spec: TextSpec = TEXTS, seed: int = 0) -> NDArray[np.float32]:
    """By hand, of texts of characters."""
    table = text_table(spec, seed)
    ids = [
        [spec.vocabulary.index(c) if c in spec.vocabulary else 1 for c in text[: spec.max_length]]
        for text in texts
    ]
    return np.stack([table[row].sum(0) for row in ids]).astype("f4")


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax by hand, rows sum to 1."""
    powers = np.exp(logits.astype(np.float64))
    found: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return found


def _bundle(
    folder: Path, spec: Spec, nodes: list[Any], entry: Any, weights: dict[str, NDArray[Any]],
    inputs: NDArray[Any], logits: NDArray[np.float32], card: dict[str, Any],
) -> Bundle:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", spec.num_classes])
    kept = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "net", [entry], [out], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx")
    (folder / "spec.json").write_text(json.dumps(spec.to_dict()), encoding="utf-8")
    assert entry.name == preprocess(spec).name
    Sample(inputs, logits).save(folder / "sample.npz")
    return write_card(folder, "onnx", {"name": "handmade", "quantize": "none", **card})
