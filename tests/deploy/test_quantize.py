"""Int8 nets against the nets in floats that they were made from; graphs looked into."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn

from burnish.deploy.bundle import Bundle
from burnish.deploy.measure import accuracy
from burnish.deploy.quantize import quantize
from burnish.deploy.runtime import onnx_runtime
from burnish.errors import BundleError


def write_graph(file, nodes, weights, inputs, outputs):
    """An ONNX file by hand, as an exporter would leave it: with metadata."""
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", [inputs], [outputs], tensors)
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(net, {"run": "a run", "class_names": '["一", "二"]'})
    onnx.save(net, str(file))
    return file


def run_of(file):
    """The file as a function."""
    return onnx_runtime(
        Bundle(file.parent, {"format": "onnx"})
        if file.name == "model.onnx"
        else SimpleNamespace(file=file),
        threads=1,
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A convolutional net trained for a moment, written down by hand; its data."""
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 8 - 1).astype(np.float32)
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 10),
    )  # fmt: skip
    x, y = torch.from_numpy(images[:1200]), torch.from_numpy(labels[:1200])
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for rows in torch.randint(0, 1200, (120, 64)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
    file = write_graph(
        tmp_path_factory.mktemp("digits") / "model.onnx",
        [
            helper.make_node("Conv", ["images", "0.weight", "0.bias"], ["a"], "c1", pads=[1] * 4),
            helper.make_node("Relu", ["a"], ["b"], "r1"),
            helper.make_node(
                "Conv", ["b", "2.weight", "2.bias"], ["c"], "c2", pads=[1] * 4, strides=[2, 2]
            ),
            helper.make_node("Relu", ["c"], ["d"], "r2"),
            helper.make_node("Flatten", ["d"], ["e"], "flat"),
            helper.make_node("Gemm", ["e", "5.weight", "5.bias"], ["logits"], "head", transB=1),
        ],
        {name: tensor.numpy() for name, tensor in net.state_dict().items()},
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10]),
    )
    with torch.inference_mode():
        logits = net(torch.from_numpy(images)).numpy()
    return SimpleNamespace(file=file, images=images, labels=labels, logits=logits)


@pytest.fixture(scope="module")
def static(digits):
    target = digits.file.with_name("static.onnx")
    quantize(digits.file, target, "static", [digits.images[:150], digits.images[150:256]])
    return target


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Mean of embeddings, a hidden layer, logits; ids of free length."""
    draw = np.random.default_rng(0)
    weights = {
        "table": draw.normal(size=(2000, 64)),
        "hidden": draw.normal(size=(64, 64)) / 8,
        "last": draw.normal(size=(64, 2)) / 8,
    }
    return write_graph(
        tmp_path_factory.mktemp("texts") / "model.onnx",
        [
            helper.make_node("Gather", ["table", "ids"], ["a"], "lookup"),
            helper.make_node("ReduceMean", ["a", "axis"], ["b"], "mean", keepdims=0),
            helper.make_node("MatMul", ["b", "hidden"], ["c"], "middle"),
            helper.make_node("Relu", ["c"], ["d"], "relu"),
            helper.make_node("MatMul", ["d", "last"], ["logits"], "head"),
        ],
        {k: v.astype(np.float32) for k, v in weights.items()} | {"axis": np.array([1])},
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
    )


def test_static_int8_answers_like_floats(digits, static):
    found = run_of(static)(digits.images)
    assert 0 < np.abs(found - digits.logits).max() < 0.06 * np.abs(digits.logits).max()
    held_out = [(digits.images[1200:], digits.labels[1200:])]
    before, after = accuracy(run_of(digits.file), held_out), accuracy(run_of(static), held_out)
    assert before > 0.85
    assert abs(before - after) < 0.01
    assert static.stat().st_size < 0.85 * digits.file.stat().st_size  # the head is most of it


def test_convolutions_are_int8_by_channel_and_the_head_stays_float(static):
    graph = onnx.load(str(static)).graph
    made_by = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for conv in (node for node in graph.node if node.op_type == "Conv"):
        back = made_by[conv.input[1]]
        stored, scales = weights[back.input[0]], weights[back.input[1]]
        assert back.op_type == "DequantizeLinear"
        assert stored.dtype == np.int8
        assert np.abs(stored).max() <= 64  # reduced range
        assert scales.shape == stored.shape[:1]
    head = graph.node[-1]
    assert head.op_type == "Gemm"
    assert weights[head.input[1]].dtype == np.float32


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_free_dimensions_and_metadata_survive(kind, digits, static, texts, tmp_path):
    source, target = digits.file, static
    if kind == "dynamic":
        source, target = texts, tmp_path / "int8.onnx"
        quantize(texts, target, "dynamic", [])
    before, after = onnx.load(str(source)), onnx.load(str(target))
    assert after.graph.input == before.graph.input
    assert after.graph.output == before.graph.output
    facts = {p.key: p.value for p in after.metadata_props}
    assert facts == {"run": "a run", "class_names": '["一", "二"]'}


def test_batches_of_any_size(digits, static):
    run = run_of(static)
    one_by_one = np.concatenate([run(digits.images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(run(digits.images[:5]), one_by_one, atol=1e-5)


def test_dynamic_int8_of_texts(texts, tmp_path):
    target = tmp_path / "int8.onnx"
    quantize(texts, target, "dynamic", [])
    draw = np.random.default_rng(1)
    for shape in ((1, 3), (7, 40)):
        ids = draw.integers(0, 2000, shape)
        wanted, found = run_of(texts)(ids), run_of(target)(ids)
        assert 0 < np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max() + 0.01
    assert target.stat().st_size < 0.3 * texts.stat().st_size


def test_a_ruined_calibration_shows(digits, tmp_path):
    target = tmp_path / "ruined.onnx"
    quantize(digits.file, target, "static", [digits.images[:64] / 1000])
    held_out = [(digits.images[1200:], digits.labels[1200:])]
    assert accuracy(run_of(target), held_out) < accuracy(run_of(digits.file), held_out) - 0.2


def test_the_tools_say_nothing(digits, texts, tmp_path, capfd, caplog):
    quantize(digits.file, tmp_path / "a.onnx", "static", [digits.images[:8]])
    quantize(texts, tmp_path / "b.onnx", "dynamic", [])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize(
    ("which", "method", "reason"),
    [
        ("texts", "static", "use quantize=dynamic"),
        ("digits", "dynamic", "use quantize=static"),
        ("digits", "int4", "must be one of none, dynamic, static"),
    ],
)
def test_what_makes_no_sense_is_refused(which, method, reason, request, tmp_path):
    net = request.getfixturevalue(which)
    target = tmp_path / "int8.onnx"
    with pytest.raises(BundleError, match=reason):
        quantize(getattr(net, "file", net), target, method, [])
    assert not target.exists()
