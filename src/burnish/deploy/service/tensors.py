"""Tensors of the Open Inference Protocol (KServe V2) as JSON, in and out.

https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md

Shapes: N inputs, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, StrictInt

from burnish.deploy.preprocess import Preprocess, Sentences
from burnish.deploy.service.arrays import only_numbers
from burnish.errors import DataError
from burnish.spec import ImageSpec, Spec, TextSpec

# Extensions of the protocol may add fields anywhere: what is not known is not looked at.
Parameters = dict[str, Any]
Name = Annotated[str, Field(max_length=200)]  # some are repeated in answers
TEXTS = "texts"
PROBABILITIES = "probabilities"
CLASS = "class"
Metadata = dict[str, Any]


class InputTensor(BaseModel):
    """An input of a request; ``data`` is flat in row-major order, or nested as ``shape`` says."""

    name: Name
    shape: Annotated[list[StrictInt], Field(max_length=8)]
    datatype: Name
    parameters: Parameters = {}
    data: list[Any]


class WantedOutput(BaseModel):
    """An output that a request asks for."""

    name: Name
    parameters: Parameters = {}


class InferRequest(BaseModel):
    """The body of ``POST /v2/models/{name}/infer``."""

    id: Name | None = None
    parameters: Parameters = {}
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: Annotated[list[WantedOutput], Field(max_length=8)] | None = None


def input_name(preprocess: Preprocess) -> str:
    """Of a model's only input."""
    return TEXTS if isinstance(preprocess, Sentences) else preprocess.name


def metadata(preprocess: Preprocess) -> tuple[list[Metadata], list[Metadata]]:
    """The input and the outputs of a model, as its metadata lists them; -1 is any number."""
    spec = preprocess.spec
    if isinstance(spec, ImageSpec):
        kind, shape = "UINT8", [-1, spec.channels, spec.height, spec.width]
    else:
        kind, shape = "BYTES", [-1]
    outputs = [
        {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, spec.num_classes]},
        {"name": CLASS, "datatype": "BYTES", "shape": [-1]},
    ]
    return [{"name": input_name(preprocess), "datatype": kind, "shape": shape}], outputs


def read_tensor(tensor: InputTensor, preprocess: Preprocess, most: int) -> list[Any]:
    """The items of an input, each as ``preprocess.read`` would return it.

    Images are UINT8 ``[N, C, H, W]``: pixels of the model's size; or FP32 of the same shape:
    normalised already. Texts are BYTES ``[N]``.

    Args:
        tensor: of the request.
        preprocess: of the model.
        most: items that a request may have.

    Raises:
        DataError: saying what does not fit.
    """
    name = input_name(preprocess)
    if tensor.name != name:
        raise DataError(f"inputs: the model's input is {name}, found {tensor.name}")
    if "binary_data_size" in tensor.parameters:
        raise DataError(f"{name}: binary tensor data are not supported, send JSON")
    if not tensor.shape or not 1 <= tensor.shape[0] <= most:
        raise DataError(f"{name}.shape: must begin with 1 to {most} items, found {tensor.shape}")
    spec = preprocess.spec
    return _texts(tensor) if isinstance(spec, TextSpec) else _images(tensor, spec)


def _texts(tensor: InputTensor) -> list[str]:
    if tensor.datatype != "BYTES":
        raise DataError(f"texts.datatype: must be BYTES, found {tensor.datatype}")
    if tensor.shape != [len(tensor.data)]:
        raise DataError(
            f"texts.shape: must be [{len(tensor.data)}], one text each, found {tensor.shape}"
        )
    if not all(isinstance(text, str) for text in tensor.data):
        raise DataError("texts.data: must be strings")
    return tensor.data


def _images(tensor: InputTensor, spec: ImageSpec) -> list[NDArray[Any]]:
    wanted = [spec.channels, spec.height, spec.width]
    if tensor.shape[1:] != wanted:
        raise DataError(f"images.shape: must be [N, {str(wanted)[1:]}, found {tensor.shape}")
    kinds = {"UINT8": "iu", "FP32": "iuf"}
    if tensor.datatype not in kinds:
        raise DataError(f"images.datatype: must be UINT8 or FP32, found {tensor.datatype}")
    if not only_numbers(tensor.data):
        raise DataError(f"images.data: must be numbers of the datatype {tensor.datatype}")
    values = _array(tensor)
    if values.dtype.kind not in kinds[tensor.datatype]:
        raise DataError(f"images.data: must be numbers of the datatype {tensor.datatype}")
    if tensor.datatype == "UINT8":
        if values.min() < 0 or values.max() > 255:
            raise DataError("images.data: pixels must lie in 0 to 255")
        return list(values.astype(np.uint8))
    # Back to the scale of pixels, unrounded, where preprocessing meets all images.
    mean, std = (np.array(of)[:, None, None] for of in (spec.mean, spec.std))
    with np.errstate(over="ignore"):
        pixels = ((values * std + mean) * 255).astype(np.float32)
    if not np.isfinite(pixels).all():
        raise DataError("images.data: must be finite")
    return list(pixels)


def _array(tensor: InputTensor) -> NDArray[Any]:
    try:
        values = np.asarray(tensor.data)
    except (ValueError, OverflowError) as error:
        raise DataError("images.data: must be numbers, flat or nested as the shape says") from error
    size = int(np.prod(tensor.shape))
    if list(values.shape) not in ([size], tensor.shape):
        raise DataError(
            f"images.data: must have {size} numbers, flat or nested as the shape says, found "
            f"{list(values.shape)}"
        )
    return values.reshape(tensor.shape)


def wanted_outputs(request: InferRequest) -> list[str]:
    """The names of the outputs to answer with, all of them unless the request chooses.

    Raises:
        DataError: if there is no such output.
    """
    names = [PROBABILITIES, CLASS]
    if request.outputs is None:
        return names
    chosen = [output.name for output in request.outputs]
    for name in chosen:
        if name not in names:
            raise DataError(f"outputs: there is no {name}; the outputs are {', '.join(names)}")
    return chosen


def output_tensors(
    rows: Sequence[NDArray[np.float32]], spec: Spec, names: Sequence[str]
) -> list[Metadata]:
    """Answers as tensors, data flat.

    Args:
        rows: N times probabilities, float32 ``[K]``.
        spec: of the model.
        names: of the outputs.
    """
    inputs, classes = len(rows), spec.num_classes
    known: dict[str, Metadata] = {
        PROBABILITIES: {
            "datatype": "FP32",
            "shape": [inputs, classes],
            "data": np.concatenate(rows).tolist(),
        },
        CLASS: {
            "datatype": "BYTES",
            "shape": [inputs],
            "data": [spec.class_names[int(row.argmax())] for row in rows],
        },
    }
    return [{"name": name, **known[name]} for name in names]
