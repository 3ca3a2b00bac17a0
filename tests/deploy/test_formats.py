"""What is written in each format computes what the net in memory does, at any size."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from burnish.deploy.bundle import read_bundle
from burnish.deploy.formats.mar import write_mar
from burnish.deploy.formats.onnx import write_onnx
from burnish.deploy.loading import runtime
from burnish.deploy.making import Trained, make_bundle
from burnish.deploy.predictor import of_bundle
from burnish.errors import BundleError
from burnish.spec import ImageSpec, spec_from_dict
from nets import IMAGES, MODELS, TEXTS, net_of, spec_for, trained

FAST = {
    "simple_cnn": {},
    "bilstm": {"hidden": 8, "embedding": 8},
    "text_transformer": {"width": 16},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """Three nets with their ONNX bundles beside their configuration."""
    found = {}
    for name, changes in FAST.items():
        folder = tmp_path_factory.mktemp(name)
        found[name] = trained(net_of(name, **changes), spec_for(name), folder, name)
        make_bundle(found[name], "onnx", folder / "onnx")
    return found


def inputs_of(name: str, size: int, length: int) -> torch.Tensor:
    """Inputs that the exporter has not seen; texts of every length, one of them empty."""
    torch.manual_seed(size)
    if spec_for(name) is IMAGES:
        return torch.randn(size, 3, 32, 32)
    ids = torch.randint(1, TEXTS.vocabulary_size, (size, length))
    lengths = torch.linspace(length, 0, size).round()
    return ids * (torch.arange(length) < lengths[:, None])


def check_at_many_sizes(name: str, net: nn.Module, run: object) -> None:
    for size, length in [(1, 1), (2, 40), (5, 3), (33, 17)]:
        inputs = inputs_of(name, size, length)
        with torch.inference_mode():
            expected = net(inputs)
        found = torch.from_numpy(run(inputs.numpy()))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAST)
def test_onnx_agrees_with_torch_at_any_size(exported: dict[str, Trained], name: str) -> None:
    it = exported[name]
    check_at_many_sizes(name, it.net, runtime(read_bundle(it.config.parent / "onnx")))


def test_an_lstm_stays_one_operator(exported: dict[str, Trained]) -> None:
    file = exported["bilstm"].config.parent / "onnx" / "model.onnx"
    operators = [node.op_type for node in onnx.load(str(file)).graph.node]
    assert operators.count("LSTM") == 4  # two layers, two directions; nothing is unrolled
    assert "Loop" not in operators
    assert len(operators) < 250


def test_the_file_says_what_it_is(exported: dict[str, Trained]) -> None:
    folder = exported["bilstm"].config.parent / "onnx"
    assert [p.name for p in folder.glob("model*")] == ["model.onnx"]  # weights inside
    net = onnx.load(str(folder / "model.onnx"))
    facts = {p.key: p.value for p in net.metadata_props}
    assert spec_from_dict(json.loads(facts["spec"])) == TEXTS
    assert json.loads(facts["class_names"]) == ["ant", "bee", "wasp"]
    assert facts["run"] == "bilstm"
    assert facts["burnish"]
    sizes = [d.dim_param for d in net.graph.input[0].type.tensor_type.shape.dim]
    assert net.graph.input[0].name == "ids"
    assert sizes == ["batch", "length"]


def test_what_exceeds_one_file_is_refused_before_the_work(tmp_path: Path) -> None:
    net = nn.Linear(30_000, 30_000, device="meta")
    with pytest.raises(BundleError, match=r"3\.6 GB.*at most 2\.1 GB.*torch_export"):
        write_onnx(net, IMAGES, tmp_path / "model.onnx", {})


def test_what_cannot_be_exported_is_one_line(tmp_path: Path) -> None:
    class Moody(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :3] if x.sum() > 0 else x.flatten(1)[:, 3:6]

    with pytest.raises(BundleError, match=r"^format: onnx cannot hold this net") as caught:
        write_onnx(Moody(), IMAGES, tmp_path / "model.onnx", {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["torchscript", "torch_export"])
def test_torchs_own_formats(exported: dict[str, Trained], format: str, tmp_path: Path) -> None:
    it = exported["bilstm"]
    bundle = make_bundle(it, format, tmp_path / format)
    with pytest.raises(BundleError, match=rf"can run code.*trust=\[{format}\]"):
        runtime(bundle)  # a file that may be a program is not loaded unasked
    check_at_many_sizes("bilstm", it.net, runtime(bundle, trusted=[format]))


ARCHIVED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from types import SimpleNamespace
import burnish, mar_handler
handler = mar_handler.Handler()
handler.initialize(SimpleNamespace(system_properties={"model_dir": sys.argv[1]}))
requests = [{"body": open(sys.argv[2], "rb").read()}, {"data": bytearray(b"nonsense")}]
answers = handler.handle(requests, None)
foreign = {"torch", "lightning", "hydra", "yaml"} & set(sys.modules)
print(json.dumps([answers, burnish.__file__, sorted(foreign)]))
"""


def test_an_archive_answers_as_the_bundle_with_what_it_carries(
    exported: dict[str, Trained], tmp_path: Path
) -> None:
    bundle = read_bundle(exported["simple_cnn"].config.parent / "onnx")
    write_mar(bundle.file, IMAGES, tmp_path / "model.mar", "a-run", "1")
    with zipfile.ZipFile(tmp_path / "model.mar") as archive:
        archive.extractall(tmp_path / "unpacked")
    manifest = json.loads((tmp_path / "unpacked/MAR-INF/MANIFEST.json").read_text())
    for file in ("serializedFile", "handler"):
        assert (tmp_path / "unpacked" / manifest["model"][file]).is_file()

    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    words = [sys.executable, "-c", ARCHIVED, str(tmp_path / "unpacked"), tmp_path / "picture.png"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=True)
    answers, home, foreign = json.loads(done.stdout)
    assert home.startswith(str(tmp_path / "unpacked"))
    assert not foreign
    expected = of_bundle(bundle).predict(tmp_path / "picture.png")
    assert list(answers[0]) == [name for name, _ in expected.top(3)[0]]
    assert answers[0] == pytest.approx(dict(expected.top(3)[0]), abs=1e-6)
    assert "error" in answers[1]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "torchscript", "torch_export"])
@pytest.mark.parametrize("name", MODELS)
def test_every_net_of_conf_model(name: str, format: str, tmp_path: Path) -> None:
    net = net_of(name)
    bundle = make_bundle(trained(net, spec_for(name), tmp_path), format, tmp_path / "bundle")
    check_at_many_sizes(name, net, runtime(bundle, trusted=[format]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "text_transformer"])
def test_gradient_checkpointing_leaves_no_trace(name: str, tmp_path: Path) -> None:
    net = net_of(name, grad_checkpointing=True)
    bundle = make_bundle(trained(net, spec_for(name), tmp_path), "onnx", tmp_path / "bundle")
    check_at_many_sizes(name, net, runtime(bundle))


@pytest.mark.slow
def test_grey_pictures_that_are_not_square(tmp_path: Path) -> None:
    from burnish.build import build_net

    spec = ImageSpec(1, 24, 40, ("a", "b"), (0.1,), (0.3,))
    node = {"_target_": "burnish.models.resnet.resnet18", "_partial_": True}
    net = build_net({"model": node}, spec).eval()
    bundle = make_bundle(trained(net, spec, tmp_path), "onnx", tmp_path / "bundle")
    picture = BytesIO()
    Image.new("L", (100, 60), 200).save(picture, "PNG")
    assert of_bundle(bundle).predict(picture.getvalue()).probabilities.shape == (1, 2)
