"""What the text nets compute, and that they never see the padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from burnish.errors import ConfigError, ModelError
from burnish.models.text import masked_max, masked_mean, rearrange, reversal, true_lengths
from burnish.models.text_attention import Block, TextTransformer
from burnish.models.text_bag import BASE, PRIME, BagOfEmbeddings, hashed_ngrams
from burnish.models.text_cnn import TextCNN
from burnish.models.text_recurrent import BiLSTM
from burnish.spec import RESERVED, TextSpec

Net = Callable[..., nn.Module]
IDS = 52
SPEC = TextSpec(("a", "b", "c"), "word", RESERVED + tuple(map(str, range(IDS - 2))), 40)
NETS: list[tuple[Net, dict[str, Any]]] = [
    (BagOfEmbeddings, {}),
    (BagOfEmbeddings, {"ngrams": 3, "buckets": 100}),
    (TextCNN, {}),
    (TextCNN, {"kernels": [1, 7]}),
    (BiLSTM, {"hidden": 16}),
    (BiLSTM, {"hidden": 16, "pooling": "max"}),
    (TextTransformer, {}),
]
NAMES = [f"{net.__name__}-{'-'.join(map(str, kw.values()))}" for net, kw in NETS]
LENGTHS = (1, 2, 5, 23, 40)


def make_texts(lengths: tuple[int, ...] = LENGTHS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(1, IDS, (n,), generator=generator) for n in lengths]


def pad(texts: list[Tensor], extra: int = 0) -> Tensor:
    return F.pad(pad_sequence(texts, batch_first=True), (0, extra))


def make(net: Net, arguments: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return net(SPEC, **arguments).eval()


@pytest.mark.parametrize(("net", "arguments"), NETS, ids=NAMES)
@torch.inference_mode()
def test_padding_never_changes_the_logits(net: Net, arguments: dict[str, Any]) -> None:
    model, texts = make(net, arguments), make_texts()
    alone = torch.cat([model(text[None]) for text in texts])
    torch.testing.assert_close(model(pad(texts)), alone, rtol=1e-5, atol=1e-5)
    for extra in (1, 3, 17):
        short = [text for text in texts if len(text) + extra <= SPEC.max_length]
        got = model(pad(short, extra))
        torch.testing.assert_close(got, alone[: len(short)], rtol=1e-5, atol=1e-5)
    assert (alone[:-1] - alone[1:]).abs().min(1).values.min() > 1e-6, "each text has its own"


@pytest.mark.parametrize(("net", "arguments"), NETS, ids=NAMES)
@torch.inference_mode()
def test_an_empty_text_has_finite_logits_whatever_its_padding(
    net: Net, arguments: dict[str, Any]
) -> None:
    model = make(net, arguments)
    want = model(torch.zeros(1, 1, dtype=torch.int64))
    assert want.isfinite().all()
    got = model(torch.zeros(2, 9, dtype=torch.int64))
    torch.testing.assert_close(got, want.expand(2, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("net", "arguments"), NETS, ids=NAMES)
def test_padding_changes_no_gradient(net: Net, arguments: dict[str, Any]) -> None:
    model = make(net, arguments)
    texts, labels = make_texts((1, 6, 20)), torch.tensor([0, 1, 2])
    grads = []
    for extra in (0, 11):
        model.zero_grad()
        F.cross_entropy(model(pad(texts, extra)), labels).backward()
        grads.append({key: p.grad for key, p in model.named_parameters()})
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-4, atol=1e-6)
    assert grads[0]["embedding.weight"][0].abs().max() == 0, "the padding's vector stays 0"


@pytest.mark.parametrize(("net", "arguments"), NETS, ids=NAMES)
@torch.inference_mode()
def test_the_order_of_words_counts_where_it_should(net: Net, arguments: dict[str, Any]) -> None:
    model, text = make(net, arguments), make_texts((20,))[0]
    change = (model(text[None]) - model(text.flip(0)[None])).abs().max()
    if net is BagOfEmbeddings and not arguments:
        assert change < 1e-5
    else:
        assert change > 1e-3


@pytest.mark.parametrize(
    ("net", "arguments"),
    [  # an LSTM's length is fixed by torch.export itself; torch.onnx.export knows a way round
        pytest.param(*case, id=name)
        for case, name in zip(NETS, NAMES, strict=True)
        if case[0] is not BiLSTM
    ],
)
def test_exports_with_any_batch_and_length(net: Net, arguments: dict[str, Any]) -> None:
    model = make(net, arguments)
    sizes = {0: Dim("batch", min=1, max=64), 1: Dim("length", min=1, max=SPEC.max_length)}
    exported = torch.export.export(model, (pad(make_texts((4, 9, 20))),), dynamic_shapes=(sizes,))
    for lengths in [(1,), (3, 2), (40, 5, 23, 1)]:
        ids = pad(make_texts(lengths))
        torch.testing.assert_close(exported.module()(ids), model(ids), rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- the shared ground


def test_lengths_and_reversal_by_hand() -> None:
    ids = torch.tensor([[5, 6, 7, 0], [8, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]])
    assert true_lengths(ids).tolist() == [3, 1, 4, 1]
    turned = rearrange(ids[:, :, None], reversal(ids))[:, :, 0]
    assert turned.tolist() == [[7, 6, 5, 0], [8, 0, 0, 0], [4, 3, 2, 1], [0, 0, 0, 0]]
    assert torch.equal(rearrange(turned[:, :, None], reversal(ids))[:, :, 0], ids)


def test_pooling_by_hand() -> None:
    x_BLC = torch.tensor([[[-3.0, 1.0], [-5.0, 2.0], [9.0, 9.0]]])
    true_BL = torch.tensor([[True, True, False]])
    assert masked_mean(x_BLC, true_BL).tolist() == [[-4.0, 1.5]]
    assert masked_max(x_BLC, true_BL).tolist() == [[-3.0, 2.0]]


# ---------------------------------------------------------------- each net beside a reference


@pytest.mark.parametrize("pooling", ["last", "max"])
@torch.inference_mode()
def test_bilstm_equals_packed_sequences(pooling: str) -> None:
    model = make(BiLSTM, {"hidden": 24, "layers": 3, "pooling": pooling})
    theirs = nn.LSTM(64, 24, 3, bidirectional=True, batch_first=True)
    theirs.load_state_dict(packed_names(model.state_dict()))
    ids, lengths = pad(make_texts()), torch.tensor(LENGTHS)
    embedded = model.get_submodule("embedding")(ids)
    packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    outputs, (ends, _) = theirs(packed)
    pooled = torch.cat([ends[-2], ends[-1]], dim=1)
    if pooling == "max":
        states, _ = pad_packed_sequence(outputs, batch_first=True, padding_value=-torch.inf)
        pooled = states.amax(1)
    want = model.get_submodule("head")(model.get_submodule("classifier")(pooled))
    torch.testing.assert_close(model(ids), want, rtol=1e-5, atol=1e-5)


def packed_names(ours: dict[str, Any]) -> dict[str, Any]:
    theirs = {}
    for key, value in ours.items():
        if key.startswith("layers."):
            _, layer, direction, name = key.split(".")
            suffix = {"ahead": "", "back": "_reverse"}[direction]
            theirs[name.replace("_l0", f"_l{layer}") + suffix] = value
    return theirs


def test_forget_gates_start_open() -> None:
    lstm = make(BiLSTM, {"hidden": 8}).get_submodule("layers.1.back")
    biases = lstm.get_parameter("bias_ih_l0") + lstm.get_parameter("bias_hh_l0")
    _, forget, _, _ = biases.chunk(4)
    assert forget.tolist() == [1.0] * 8
    assert biases[:8].abs().max() < 1


@pytest.mark.parametrize("length", [1, 2, 3, 12])
@torch.inference_mode()
def test_cnn_takes_the_largest_of_the_windows_that_begin_in_the_text(length: int) -> None:
    model = make(TextCNN, {"embedding": 6, "kernels": [2, 4], "channels": 5})
    weights = model.state_dict()
    text = make_texts((length,))[0]
    rows = torch.cat([weights["embedding.weight"][text], torch.zeros(4, 6)])
    features = []
    for i, kernel in enumerate([2, 4]):
        weight, bias = weights[f"convolutions.{i}.weight"], weights[f"convolutions.{i}.bias"]
        windows = [(weight * rows[j : j + kernel].T).sum((1, 2)) + bias for j in range(length)]
        features.append(torch.stack(windows).amax(0).clamp(min=0))
    want = weights["head.weight"] @ torch.cat(features) + weights["head.bias"]
    torch.testing.assert_close(model(pad([text], 5))[0], want, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_block_equals_torch_s_encoder_layer() -> None:
    torch.manual_seed(0)
    ours = Block(32, 4, 2, 0.0).eval()
    theirs = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
    for key, layer in [("norm1", ours.norm1), ("norm2", ours.norm2)]:
        theirs.get_submodule(key).load_state_dict(layer.state_dict())
    for key, other in [("linear1", ours.mlp[0]), ("linear2", ours.mlp[2])]:
        theirs.get_submodule(key).load_state_dict(other.state_dict())
    theirs.self_attn.out_proj.load_state_dict(ours.out.state_dict())
    theirs.self_attn.in_proj_weight.copy_(ours.qkv.weight)
    theirs.self_attn.in_proj_bias.zero_()
    x_BLC, true_BL = torch.randn(3, 7, 32), torch.arange(7) < torch.tensor([[1], [4], [7]])
    want = theirs(x_BLC, src_key_padding_mask=~true_BL)  # in training mode: no fast path
    torch.testing.assert_close(ours(x_BLC, true_BL)[true_BL], want[true_BL], rtol=1e-5, atol=1e-5)


def test_transformer_refuses_longer_texts_than_its_data_has() -> None:
    model = make(TextTransformer, {})
    with pytest.raises(ModelError, match=r"up to 40 tokens.* found 41.*data\.max_length"):
        model(torch.ones(2, 41, dtype=torch.int64))


@torch.inference_mode()
def test_bag_is_the_mean_over_tokens_and_ngrams() -> None:
    model = make(BagOfEmbeddings, {"width": 8, "ngrams": 3, "buckets": 50})
    weights = model.state_dict()
    text = [7, 3, 7, 9]
    rows = [weights["embedding.weight"][i] for i in text]
    grams = [text[i : i + 2] for i in range(3)] + [text[i : i + 3] for i in range(2)]
    rows += [weights["ngram_embedding.weight"][bucket(gram, 50)] for gram in grams]
    want = weights["head.weight"] @ torch.stack(rows).mean(0) + weights["head.bias"]
    got = model(torch.tensor([[*text, 0, 0]]))[0]
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def bucket(gram: list[int], buckets: int) -> int:
    """In Python's integers of any size."""
    value = sum(token * BASE ** (len(gram) - 1 - i) for i, token in enumerate(gram))
    return 1 + value % PRIME % buckets


def test_ngrams_spread_over_the_buckets() -> None:
    """All pairs of neighbours of 150 tokens: as many collisions as chance would make."""
    first, second = torch.meshgrid(torch.arange(2, 152), torch.arange(2, 152), indexing="ij")
    pairs = torch.stack([first.flatten(), second.flatten()], dim=1)
    for buckets in (1000, 4096, 16384):
        (hashed_BL,) = hashed_ngrams(pairs, 2, buckets)
        assert hashed_BL[:, 1].max() == 0
        counts = torch.bincount(hashed_BL[:, 0] - 1, minlength=buckets).double()
        expected = len(pairs) / buckets
        assert len(counts) == buckets
        assert ((counts - expected) ** 2 / expected).mean() < 1.2, "chi-squared a bucket"


# ---------------------------------------------------------------- learning and mistakes


@pytest.mark.parametrize(("net", "arguments"), NETS, ids=NAMES)
def test_learns_which_texts_hold_a_word(net: Net, arguments: dict[str, Any]) -> None:
    model = make(net, arguments).train()
    ids = torch.randint(3, IDS, (96, 12)).masked_fill(
        torch.arange(12) >= torch.randint(4, 13, (96, 1)), 0
    )
    labels = torch.arange(96) % 2
    ids[labels == 1, 2] = 2
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2 if net is BagOfEmbeddings else 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(model(ids), labels).backward()
        optimizer.step()
    with torch.inference_mode():
        assert (model.eval()(ids).argmax(1) == labels).float().mean() > 0.95


@pytest.mark.parametrize(
    ("net", "arguments", "key"),
    [
        (BagOfEmbeddings, {"width": 0}, "model.width"),
        (BagOfEmbeddings, {"ngrams": 0}, "model.ngrams"),
        (BagOfEmbeddings, {"buckets": 1.5}, "model.buckets"),
        (BagOfEmbeddings, {"dropout": 1.0}, "model.dropout"),
        (TextCNN, {"embedding": -1}, "model.embedding"),
        (TextCNN, {"kernels": [3, 0]}, "model.kernels"),
        (TextCNN, {"kernels": 3}, "model.kernels"),
        (TextCNN, {"kernels": []}, "model.kernels"),
        (TextCNN, {"channels": True}, "model.channels"),
        (TextCNN, {"dropout": "0.5"}, "model.dropout"),
        (BiLSTM, {"embedding": 0}, "model.embedding"),
        (BiLSTM, {"hidden": 0}, "model.hidden"),
        (BiLSTM, {"layers": 0}, "model.layers"),
        (BiLSTM, {"classifier": 0}, "model.classifier"),
        (BiLSTM, {"dropout": -0.1}, "model.dropout"),
        (BiLSTM, {"pooling": "mean"}, "model.pooling"),
        (TextTransformer, {"width": 0}, "model.width"),
        (TextTransformer, {"heads": 0}, "model.heads"),
        (TextTransformer, {"heads": 3}, "model.heads"),
        (TextTransformer, {"layers": 0}, "model.layers"),
        (TextTransformer, {"expansion": 0}, "model.expansion"),
        (TextTransformer, {"dropout": 2}, "model.dropout"),
    ],
)
def test_bad_arguments_name_their_key(net: Net, arguments: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: must") as caught:
        net(SPEC, **arguments)
    assert len(caught.value.problems) == 1
    assert repr(next(iter(arguments.values()))) in str(caught.value), "says what was found"
