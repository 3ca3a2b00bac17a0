"""Checkpointed nets compute the same; the tests of memory are in tests/diagnosis/test_memory.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.models.resnet import BasicBlock, Bottleneck, ResNet, resnet18
from burnish.models.text_attention import TextTransformer
from burnish.nn.checkpointing import checkpointed
from burnish.spec import RESERVED, ImageSpec, TextSpec

CLASSES = ("a", "b", "c")
IMAGES = ImageSpec(3, 16, 16, CLASSES, (0.5,) * 3, (0.25,) * 3)
TEXTS = TextSpec(CLASSES, "word", RESERVED + tuple(f"w{i}" for i in range(20)), 12)


def images() -> Tensor:
    return torch.randn(4, 3, 16, 16)


def texts() -> Tensor:
    ids = torch.randint(1, 20, (4, 12))
    ids[1, 7:] = 0
    return ids


Make = Callable[..., nn.Module]
NETS: dict[str, tuple[Make, Callable[[], Tensor]]] = {
    "resnet18": (lambda **more: resnet18(IMAGES, dropout=0.3, **more), images),
    "bottlenecks": (lambda **m: ResNet(IMAGES, Bottleneck, (2, 1, 1, 1), 0.0, False, **m), images),
    "transformer": (lambda **more: TextTransformer(TEXTS, dropout=0.4, **more), texts),
}


def trained(net: nn.Module, batches: list[Tensor]) -> dict[str, Tensor]:
    """Gradients of the last step, then everything that two steps of training left."""
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    torch.manual_seed(1)  # of dropout
    for batch in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(batch), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    gradients = {f"grad {name}": p.grad for name, p in net.named_parameters()}
    return {**gradients, **net.state_dict(), "random": torch.get_rng_state()}  # type: ignore[dict-item]


@pytest.mark.parametrize("name", NETS)
def test_gradients_statistics_and_randomness_are_bit_equal(name: str) -> None:
    make, draw = NETS[name]
    torch.manual_seed(0)
    plain = make()
    again = make(grad_checkpointing=True)
    assert list(again.state_dict()) == list(plain.state_dict())
    again.load_state_dict(plain.state_dict())
    batches = [draw(), draw()]
    want, got = trained(plain, batches), trained(again, batches)
    assert want.keys() == got.keys()
    for key in want:
        assert torch.equal(got[key], want[key]), key


def count_calls(net: nn.Module, blocks: list[nn.Module]) -> Callable[[], list[int]]:
    calls = [0] * len(blocks)

    def count(i: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            calls[i] += 1

        return hook

    for i, block in enumerate(blocks):
        block.register_forward_pre_hook(count(i))
    return lambda: calls


@pytest.mark.parametrize("name", ["resnet18", "transformer"])
def test_every_block_is_computed_twice_in_training_and_once_elsewhere(name: str) -> None:
    make, draw = NETS[name]
    net: Any = make(grad_checkpointing=True)
    stages = (
        [net.blocks] if name == "transformer" else [net.layer1, net.layer2, net.layer3, net.layer4]
    )
    calls = count_calls(net, [block for stage in stages for block in stage])
    net(draw()).sum().backward()
    assert set(calls()) == {2}
    with torch.no_grad():
        net(draw())
    assert set(calls()) == {3}
    net.eval()(draw()).sum().backward()
    assert set(calls()) == {4}


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_move_once(momentum: float | None) -> None:
    norm = nn.BatchNorm1d(3, momentum=momentum)
    x = torch.randn(8, 3)
    for _ in range(2):
        checkpointed(norm, x).square().sum().backward()
    # By hand: what one update a step leaves; torch keeps the unbiased variance.
    share = [0.1, 0.1] if momentum else [1.0, 0.5]
    mean, var = torch.zeros(3), torch.ones(3)
    for s in share:
        mean, var = (1 - s) * mean + s * x.mean(0), (1 - s) * var + s * x.var(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, var)
    assert norm.num_batches_tracked == 2
    assert norm.momentum == momentum


class Residual(nn.Module):
    """One block, checkpointed or not."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.block = BasicBlock(3, 4, 2)
        self.again = again

    def forward(self, x: Tensor) -> Tensor:
        return checkpointed(self.block, x) if self.again else self.block(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["residual", "transformer"])
def test_a_compiled_net_computes_the_same(name: str) -> None:
    def make(again: bool) -> nn.Module:
        # Without dropout: a compiled graph draws in another order.
        if name == "residual":
            return Residual(again)
        return TextTransformer(TEXTS, dropout=0.0, grad_checkpointing=again)

    plain, again = make(False), make(True)
    again.load_state_dict(plain.state_dict())
    batch = images() if name == "residual" else texts()
    again.compile(backend="aot_eager")
    for net in (plain, again):
        net(batch).square().sum().backward()
    for (key, want), got in zip(plain.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(got.grad, want.grad, rtol=1e-4, atol=1e-4, msg=key)
    torch.testing.assert_close(again.state_dict(), plain.state_dict())
