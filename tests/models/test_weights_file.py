from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from burnish.errors import ModelError
from burnish.models.weights_file import load_weights_file


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.fc1 = nn.Linear(4, 6)
        self.fc2 = nn.Linear(6, classes)


class Renamed(nn.Module):
    """The same layers in the same order, under other names."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.hidden = nn.Linear(4, 6)
        self.out = nn.Linear(6, classes)


def seeded(net: nn.Module, seed: int = 1) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    state = {
        key: torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for key, value in net.state_dict().items()
    }
    net.load_state_dict(state)
    return net


def floats(net: nn.Module) -> list[torch.Tensor]:
    return [value for value in net.state_dict().values() if value.is_floating_point()]


def assert_equal(a: nn.Module, b: nn.Module, count: int | None = None) -> None:
    for x, y in zip(floats(a)[:count], floats(b)[:count], strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)


def plain(state: dict[str, Any]) -> dict[str, Any]:
    return state


def wrapped(*keys: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def wrap(state: dict[str, Any]) -> dict[str, Any]:
        for key in keys:
            state = {"epoch": 3, key: state}
        return state

    return wrap


def prefixed(prefix: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda state: {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    "form",
    [
        plain,
        wrapped("state_dict"),
        wrapped("model"),
        wrapped("model_state_dict"),
        wrapped("net", "state_dict"),
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("net."),
        prefixed("module._orig_mod.model."),
        lambda state: {**prefixed("net.")(state), "loss.weight": torch.zeros(3)},
        lambda state: {k.replace("fc1", "fc1._orig_mod"): v for k, v in state.items()},
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin"])
def test_usual_forms_of_files_load(form: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    source, net = seeded(Net()), Net()
    torch.save(form(source.state_dict()), path)
    report = load_weights_file(net, path, head="fc2")
    assert_equal(net, source)
    assert report.missing == report.reshaped == report.classifier == ()
    assert report.sentences()[0].endswith(f"{path}: 9 tensors loaded")


def test_safetensors_and_half_precision_load(tmp_path: Path) -> None:
    source, net = seeded(Net()).half(), Net()
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    load_weights_file(net, tmp_path / "weights.safetensors")
    assert_equal(net, source.float())
    assert net.fc1.weight.dtype == torch.float32


def test_files_without_counters_of_batches_load(tmp_path: Path) -> None:
    source, net = seeded(Net()), Net()
    state = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth")
    assert load_weights_file(net, tmp_path / "old.pth").missing == ()
    assert_equal(net, source)


@pytest.mark.parametrize(("match", "kind"), [("names", Net), ("order", Renamed)])
def test_a_classifier_of_other_classes_is_left_out_and_said_so(
    match: Any, kind: type[nn.Module], tmp_path: Path
) -> None:
    source, net, fresh = seeded(kind(classes=10)), seeded(Net(), 2), seeded(Net(), 2)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    report = load_weights_file(net, tmp_path / "w.pth", match, head="fc2")
    assert_equal(net, source, 7)
    torch.testing.assert_close(net.fc2.weight, fresh.fc2.weight, rtol=0, atol=0)
    torch.testing.assert_close(net.fc2.bias, fresh.fc2.bias, rtol=0, atol=0)
    last = "fc2" if kind is Net else "out"
    assert report.classifier == (f"{last}.weight [10, 6]", f"{last}.bias [10]")
    assert (len(report.loaded), report.reshaped, report.unexpected) == (7, (), ())
    (said,) = [s for s in report.sentences() if "output layer" in s]
    assert "fc2.weight [10, 6]" in said or "out.weight [10, 6]" in said


def test_half_a_fitting_classifier_is_none(tmp_path: Path) -> None:
    state = seeded(Net()).state_dict()
    del state["fc2.bias"]
    torch.save(state, tmp_path / "w.pth")
    net, fresh = seeded(Net(), 2), seeded(Net(), 2)
    report = load_weights_file(net, tmp_path / "w.pth", head="fc2")
    torch.testing.assert_close(net.fc2.weight, fresh.fc2.weight, rtol=0, atol=0)
    assert report.classifier == ("fc2.weight [3, 6]",)


def test_what_does_not_fit_is_reported(tmp_path: Path) -> None:
    state = seeded(Net()).state_dict()
    del state["bn.bias"]
    state["conv.weight"] = torch.zeros(4, 3, 3, 3)
    state = {"extra.weight": torch.zeros(2), **state}
    torch.save(state, tmp_path / "w.pth")
    report = load_weights_file(Net(), tmp_path / "w.pth", head="fc2")
    assert report.missing == ("bn.bias",)
    assert report.unexpected == ("extra.weight",)
    assert report.reshaped == ("conv.weight [4, 1, 3, 3] (there [4, 3, 3, 3])",)
    text = "\n".join(report.sentences())
    for name in ("bn.bias", "extra.weight", "[4, 3, 3, 3]"):
        assert name in text


def test_renamed_layers_load_by_order_and_names_suggest_it(tmp_path: Path) -> None:
    source, net = seeded(Renamed()), Net()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"model.weights_match=order") as caught:
        load_weights_file(net, tmp_path / "w.pth", head="fc2")
    for name in ("conv.weight", "bn.weight", "bn.bias", "stem.0.weight", "stem.1.weight"):
        assert name in str(caught.value)
    load_weights_file(net, tmp_path / "w.pth", "order", head="fc2")
    assert_equal(net, source)


@pytest.mark.parametrize("head", ["fc2", None])
def test_order_with_or_without_output_layers(head: str | None, tmp_path: Path) -> None:
    source, net = seeded(Renamed()), Net()
    body = {k: v for k, v in source.state_dict().items() if not k.startswith("out")}
    torch.save(body, tmp_path / "body.pth")
    torch.save(source.state_dict(), tmp_path / "whole.pth")
    if head is None:
        net.fc2 = nn.Identity()
        report = load_weights_file(net, tmp_path / "whole.pth", "order")
        assert report.classifier == ("out.weight [3, 6]", "out.bias [3]")
        assert_equal(net, source, 7)
        net = Net()
        net.fc2 = nn.Identity()
    load_weights_file(net, tmp_path / "body.pth", "order", head=head)
    assert_equal(net, source, 7)


def test_order_refuses_shapes_and_roles_that_differ(tmp_path: Path) -> None:
    wide = Renamed()
    wide.hidden = nn.Linear(4, 7)
    torch.save(wide.state_dict(), tmp_path / "wide.pth")
    with pytest.raises(ModelError, match=r"fc1.weight \[6, 4\] of the net meets hidden.weight"):
        load_weights_file(Net(), tmp_path / "wide.pth", "order", head="fc2")
    state = seeded(Renamed()).state_dict()
    keys = list(state)
    keys[1], keys[2] = keys[2], keys[1]  # the norm's scale and offset have one shape
    torch.save({key: state[key] for key in keys}, tmp_path / "swapped.pth")
    with pytest.raises(ModelError, match=r"bn.weight \[4\] of the net meets stem.1.bias \[4\]"):
        load_weights_file(Net(), tmp_path / "swapped.pth", "order", head="fc2")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save(nn.LSTM(3, 4).state_dict(), tmp_path / "lstm.pth")
    net, fresh = seeded(Net()), seeded(Net())
    with pytest.raises(ModelError, match=r"does not fit the net.*weight_ih_l0.*another arch"):
        load_weights_file(net, tmp_path / "lstm.pth", head="fc2")
    assert_equal(net, fresh)


def undotted(net: nn.Module) -> dict[str, torch.Tensor]:
    """As files written by hand have them: w0, b0 and so on."""
    state = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
    return {f"{'wb'[k.endswith('bias')]}{i}": v for i, (k, v) in enumerate(state.items())}


@pytest.mark.parametrize("prefix", ["", "params."])
@pytest.mark.parametrize("classes", [3, 10])
def test_order_needs_no_layers_in_the_names(prefix: str, classes: int, tmp_path: Path) -> None:
    source, net, fresh = seeded(Net(classes)), seeded(Net(), 2), seeded(Net(), 2)
    torch.save(prefixed(prefix)(undotted(source)), tmp_path / "w.pth")
    report = load_weights_file(net, tmp_path / "w.pth", "order", head="fc2")
    assert_equal(net, source, 7)
    expected = source if classes == 3 else fresh
    torch.testing.assert_close(net.fc2.weight, expected.fc2.weight, rtol=0, atol=0)
    names = (f"{prefix}w7 [10, 6]", f"{prefix}b8 [10]")
    assert report.classifier == (() if classes == 3 else names)
    assert report.unexpected == ()


def test_order_without_layers_in_the_names_takes_no_longer_files(tmp_path: Path) -> None:
    torch.save({**undotted(Net()), "more": torch.zeros(2)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="the net has 9 tensors, the file 10"):
        load_weights_file(Net(), tmp_path / "w.pth", "order", head="fc2")


def test_names_without_layers_are_no_output_layer(tmp_path: Path) -> None:
    state = {k: v for k, v in seeded(Net()).state_dict().items() if "fc2" not in k}
    torch.save({"token": torch.zeros(2), **state, "scale": torch.zeros(1)}, tmp_path / "w.pth")
    report = load_weights_file(Net(), tmp_path / "w.pth", head="fc2")
    assert (report.classifier, report.unexpected) == ((), ("token", "scale"))


def test_dictionaries_that_hold_themselves_come_to_an_end(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="holds no named tensors, found model"):
        load_weights_file(Net(), tmp_path / "w.pth")


def test_suffixes_in_capitals_are_the_same(tmp_path: Path) -> None:
    source, net = seeded(Net()), Net()
    save_file(source.state_dict(), tmp_path / "W.SAFETENSORS")
    load_weights_file(net, tmp_path / "W.SAFETENSORS")
    assert_equal(net, source)


@pytest.mark.filterwarnings("ignore")  # torch's, of quantized, nested and sparse tensors
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.to_sparse(), "stored as sparse_coo"),
        (lambda w: w.to_sparse_csr(), "stored as sparse_csr"),
        (lambda w: w.to("meta"), "on the meta device"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "quantized"),
        (lambda w: torch.nested.nested_tensor(list(w)), "nested"),
        (lambda w: torch.nested.nested_tensor(list(w), layout=torch.jagged), "nested"),
    ],
)
def test_tensors_that_are_not_dense_are_named(change: Any, said: str, tmp_path: Path) -> None:
    state = Net().state_dict()
    state["fc1.weight"], state["fc2.weight"] = change(state["fc1.weight"]), change(torch.eye(3))
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=rf"w.pth: fc1.weight is {said}.*dense"):
        load_weights_file(Net(), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (torch.tensor([1.0, float("nan"), 0, 0]), "values that are not finite"),
        (torch.tensor([1.0, 0, -float("inf"), 0]), "values that are not finite"),
        (torch.tensor([1e300, 0, 0, 0], dtype=torch.float64), "values that are not finite"),
        (torch.zeros(4, dtype=torch.complex64), "complex numbers, the net floating-point ones"),
        (torch.zeros(4, dtype=torch.int64), "whole numbers, the net floating-point ones"),
    ],
)
def test_values_of_no_use_are_named(values: torch.Tensor, said: str, tmp_path: Path) -> None:
    state = seeded(Net()).state_dict()
    state["bn.bias"] = state["bn.running_mean"] = values
    torch.save(state, tmp_path / "w.pth")
    net, fresh = seeded(Net(), 2), seeded(Net(), 2)
    with pytest.raises(ModelError, match=rf"w.pth: bn.bias holds {said}"):
        load_weights_file(net, tmp_path / "w.pth")
    assert_equal(net, fresh)


def test_numbers_of_eight_bits_load(tmp_path: Path) -> None:
    source, net = seeded(Net()), Net()
    small = {key: value.to(torch.float8_e4m3fn) for key, value in source.state_dict().items()}
    torch.save(small, tmp_path / "w.pth")
    load_weights_file(net, tmp_path / "w.pth")
    source.load_state_dict({key: value.float() for key, value in small.items()})
    assert_equal(net, source)


class Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> Any:
        return Path.touch, (self.flag,)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    flag = tmp_path / "executed"
    torch.save({"state_dict": Bomb(flag)}, tmp_path / "zip.pth")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps({"state_dict": Bomb(flag)}))
    torch.save(Net(), tmp_path / "whole_model.pth")
    for name in ("zip.pth", "bare.pt", "whole_model.pth"):
        with pytest.raises(ModelError, match=rf"{name} is refused, nothing of it was executed"):
            load_weights_file(Net(), tmp_path / name)
    assert not flag.exists()


def damaged(folder: Path) -> dict[str, str]:
    """Files by name, with what is said of each."""
    torch.save(Net().state_dict(), folder / "whole.pth")
    save_file(Net().state_dict(), folder / "whole.safetensors")
    (folder / "cut.pth").write_bytes((folder / "whole.pth").read_bytes()[:900])
    (folder / "cut.safetensors").write_bytes((folder / "whole.safetensors").read_bytes()[:300])
    (folder / "empty.pth").touch()
    (folder / "empty.safetensors").touch()
    (folder / "text.pth").write_text("<html>404 not found</html>")
    (folder / "folder.pth").mkdir()
    (folder / "weights.h5").touch()
    (folder / "weights").touch()
    torch.save({"epoch": 3, "lr": 0.1}, folder / "no_tensors.pth")
    torch.save([torch.zeros(2)], folder / "list.pth")
    return {
        "cut.pth": "cannot be read|is refused",
        "cut.safetensors": "cannot be read",
        "empty.pth": "cannot be read",
        "empty.safetensors": "cannot be read",
        "text.pth": "cannot be read|is refused",
        "folder.pth": "is a folder",
        "weights.h5": r"ends in \.h5; known are \.pth",
        "weights": "ends in nothing; known are",
        "missing.pth": "does not exist",
        "no_tensors.pth": "holds no named tensors, found epoch, lr",
        "list.pth": "holds no named tensors, found list",
    }


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for name, said in damaged(tmp_path).items():
        with pytest.raises(ModelError, match=rf"^model.weights_file: \S*{name} ({said})"):
            load_weights_file(Net(), tmp_path / name)
