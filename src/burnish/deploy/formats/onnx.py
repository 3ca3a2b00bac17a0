"""ONNX: one file that onnxruntime and many others run without Python's net."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from burnish.deploy.extras import needed
from burnish.deploy.formats.example import dynamic_sizes, exporting
from burnish.deploy.formats.torch_export import exported, whole_lstm
from burnish.deploy.preprocess import preprocess
from burnish.errors import BundleError
from burnish.spec import Spec

# protobuf, which ONNX files are written in, holds 2 GiB in one message; the graph needs a little.
LARGEST_BYTES = 2**31 - 2**24


def write_onnx(net: nn.Module, spec: Spec, file: Path, metadata: Mapping[str, str]) -> None:
    """Export with dynamic batch (and length, for texts), weights and facts in the file.

    Args:
        net: in evaluation mode, on the CPU.
        spec: of its data.
        file: to write.
        metadata: embedded in the file as ``metadata_props``.

    Raises:
        BundleError: if the weights exceed what one file holds, ``onnx.checker`` or the exporter
            refuses, or an extra is missing.
    """
    onnx = needed("onnx", "export")
    needed("onnxscript", "export")
    size = sum(tensor.nbytes for tensor in net.state_dict().values())
    if size > LARGEST_BYTES:
        raise BundleError(
            f"format: the weights take {size / 1e9:.1f} GB, and one ONNX file holds at most "
            f"{LARGEST_BYTES / 1e9:.1f} GB; use format=torch_export"
        )
    with exporting("onnx"), whole_lstm():
        program = torch.onnx.export(
            exported(net, spec),
            dynamo=True,
            external_data=False,
            input_names=[preprocess(spec).name],
            output_names=["logits"],
            dynamic_shapes=(dynamic_sizes(spec),),
            verbose=False,
        )
        assert program is not None  # it is with dynamo
        program.model.metadata_props.update(metadata)
        program.save(file, external_data=False)
        onnx.checker.check_model(str(file), full_check=True)
