"""Eight-bit integers instead of floats: an ONNX net that is a quarter as large, and often faster.

static    weights and activations are quantized; their ranges are measured on training samples.
          For convolutions (Jacob et al. 2018, "Quantization and Training of Neural Networks for
          Efficient Integer-Arithmetic-Only Inference").
dynamic   weights are quantized, and activations by their range in each batch. For the large
          matrices of text nets, embeddings included.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burnish.deploy.extras import needed
from burnish.deploy.preprocess import Inputs
from burnish.errors import BundleError

METHODS = ("none", "dynamic", "static")
# What dynamic quantization replaces. Not Conv: its integer kernel is 4 times slower than floats.
OF_TEXTS = ("MatMul", "Gemm", "Gather", "LSTM", "Attention")
CHUNK = 64  # samples of one calibration step: all activations of a step are kept at once


def quantize(onnx_file: Path, target_file: Path, method: str, batches: Iterable[Inputs]) -> None:
    """Write an int8 net. Inputs, outputs, free dimensions and metadata stay as they are.

    Args:
        onnx_file: the net in floats.
        target_file: written.
        method: ``dynamic`` or ``static``.
        batches: preprocessed training samples, for ``static``; two hundred are enough.

    Raises:
        BundleError: if the method does not suit the net, or an extra is missing.
    """
    onnx = needed("onnx", "export")
    tools = needed("onnxruntime.quantization", "export")
    source = onnx.load(str(onnx_file))
    check_method(source.graph, method)
    with _quiet():
        net = _prepared(onnx_file)
        if method == "static":
            _static(tools, net, target_file, batches)
        else:
            _dynamic(tools, net, target_file)
    _finish(onnx, target_file, source.metadata_props)


def check_method(graph: Any, method: str) -> None:
    """Refuse what would make the net slower or nonsense.

    Args:
        graph: of the ONNX net.
        method: ``dynamic`` or ``static``.

    Raises:
        BundleError: with the reason, and the method that suits.
    """
    if method not in METHODS[1:]:
        raise BundleError(f"quantize: must be one of {', '.join(METHODS)}, found {method!r}")
    texts = takes_texts(graph)
    if method == "static" and texts:
        raise BundleError(
            "quantize: static is for nets of images: the lookups and recurrences of a text net "
            "have no fixed ranges to calibrate; use quantize=dynamic"
        )
    if method == "dynamic" and not texts and any(n.op_type == "Conv" for n in graph.node):
        raise BundleError(
            "quantize: dynamic makes a convolutional net several times slower than floats; "
            "use quantize=static"
        )


def takes_texts(graph: Any) -> bool:
    """Whether the net's input are token ids."""
    int64 = 7  # TensorProto.INT64
    return bool(graph.input[0].type.tensor_type.elem_type == int64)


def head(graph: Any) -> str:
    """Name of the last matrix product, which gives the logits.

    Raises:
        BundleError: if there is none.
    """
    found = [node.name for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    if not found:
        raise BundleError("quantize: the net ends in no linear layer, which static leaves in float")
    return str(found[-1])


def _prepared(source: Path) -> Any:
    """The net with all fused that can be (batch normalisation into its convolution)."""
    onnx = needed("onnx", "export")
    tools = needed("onnxruntime.quantization.shape_inference", "export")
    with tempfile.TemporaryDirectory(prefix="burnish-int8-") as scratch:
        target = Path(scratch, "prepared.onnx")
        # Symbolic inference fails on graphs that compute with the length of texts, and the
        # exporter has written the shapes down already.
        tools.quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
        net = onnx.load(str(target))
    # The exporter notes shapes of weights as well: noise that is wrong once one is transposed.
    weights = {weight.name for weight in net.graph.initializer}
    shapes = [value for value in net.graph.value_info if value.name not in weights]
    del net.graph.value_info[:]
    net.graph.value_info.extend(shapes)
    return net


def _static(tools: Any, net: Any, target: Path, batches: Iterable[Inputs]) -> None:
    tools.quantize_static(
        net,
        str(target),
        _reader(tools, net.graph.input[0].name, batches),
        quant_format=tools.QuantFormat.QDQ,
        activation_type=tools.QuantType.QUInt8,
        weight_type=tools.QuantType.QInt8,
        per_channel=True,
        # Seven bits of a weight: without VNNI two products of full range overflow 16 bits.
        reduce_range=True,
        # The logits decide: the head's share of the work is small, its error would be all of it.
        nodes_to_exclude=[head(net.graph)],
    )


def _dynamic(tools: Any, net: Any, target: Path) -> None:
    tools.quantize_dynamic(
        net,
        str(target),
        op_types_to_quantize=[*OF_TEXTS],
        weight_type=tools.QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def _reader(tools: Any, name: str, batches: Iterable[Inputs]) -> Any:
    class Reader(tools.CalibrationDataReader):
        """Hands the calibration its batches, in small pieces."""

        def __init__(self) -> None:
            self._pieces = pieces(batches)

        def get_next(self) -> dict[str, Inputs] | None:
            """One piece, None at the end."""
            piece = next(self._pieces, None)
            return None if piece is None else {name: piece}

    return Reader()


def pieces(batches: Iterable[Inputs]) -> Iterator[Inputs]:
    """The same samples, at most :data:`CHUNK` at once."""
    for batch in batches:
        for start in range(0, len(batch), CHUNK):
            yield batch[start : start + CHUNK]


def _finish(onnx: Any, file: Path, metadata: Iterable[Any]) -> None:
    """Give it the metadata of its source, without the tools' own notes, and check it."""
    net = onnx.load(str(file))
    del net.metadata_props[:]
    net.metadata_props.extend(metadata)
    onnx.save(net, str(file))
    onnx.checker.check_model(str(file), full_check=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """The tools advise, on the root logger and in native code, what is done here already."""
    runtime = needed("onnxruntime", "export")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    runtime.set_default_logger_severity(3)
    try:
        yield
    finally:
        logging.disable(before)
        runtime.set_default_logger_severity(2)  # its default: warnings
