"""What batches of similar length and the character table gain.

    python benchmarks/text.py

Training: the BiLSTM of conf/model/bilstm.yaml on made-up reviews whose lengths are distributed as
those of Chinese hotel reviews (log-normal, median 84 characters, cut at 256): batches of similar
length padded to their own longest text, shuffled batches padded to their own longest, and shuffled
batches padded to the longest of all. Texts per second of whole training steps.
Encoding: characters per second to ids, the array look-up against a loop over a dictionary.
Wall time, the ways in turn in each round, best round of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from burnish.data.loading import EpochBatches
from burnish.data.order import draw
from burnish.data.text_table import Texts, TextTable, encode
from burnish.data.tokenize import fit, tokenizer
from burnish.models.text_recurrent import BiLSTM

TEXTS, BATCH, MAX_LENGTH, ROUNDS = 1280, 64, 256, 3


def made_up_texts() -> Texts:
    """Characters of a Zipf distribution over 3,000 Chinese ones."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(84), 0.85, TEXTS), 5, 3000).astype(int)
    ranks = rng.zipf(1.3, int(lengths.sum())) % 3000
    text = "".join(chr(0x4E00 + rank) for rank in ranks)
    ends = np.cumsum(lengths)
    cut = [text[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return Texts(cut, torch.from_numpy(rng.integers(0, 2, TEXTS)))


def batches(table: TextTable, way: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    order = EpochBatches(
        torch.arange(TEXTS), BATCH, training=True, draw=draw(table.labels.numpy(), "none"),
        lengths=table.lengths if way == "similar" else None,
    )  # fmt: skip
    for rows in order.batches():
        ids, labels = table.__getitems__(rows)
        if way == "maximum":
            ids = F.pad(ids, (0, MAX_LENGTH - ids.shape[1]))
        yield ids, labels


def texts_per_second(net: nn.Module, table: TextTable, way: str) -> float:
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    start = time.perf_counter()
    for ids, labels in batches(table, way):
        optimizer.zero_grad()
        F.cross_entropy(net(ids), labels).backward()
        optimizer.step()
    return TEXTS / (time.perf_counter() - start)


def best_of(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, measure in ways.items():
            found[way].append(measure())
    return {way: max(values) for way, values in found.items()}


def characters_per_second(encode_all: Callable[[], object], characters: int) -> float:
    start = time.perf_counter()
    encode_all()
    return characters / (time.perf_counter() - start)


def main() -> None:
    texts = made_up_texts()
    spec = fit(texts.texts, ("0", "1"), max_length=MAX_LENGTH)
    reader = tokenizer(spec)
    table = encode(texts, reader, MAX_LENGTH)
    torch.manual_seed(0)
    net = BiLSTM(spec)
    ways = ("maximum", "shuffled", "similar")
    speed = best_of({w: lambda w=w: texts_per_second(net, table, w) for w in ways}, ROUNDS)
    print(f"{torch.get_num_threads()} threads; BiLSTM, batch {BATCH}, texts per second")
    for way, said in zip(ways, ("padded to the longest of all", "padded to the batch's longest",
                                "batches of similar length"), strict=True):  # fmt: skip
        print(f"  {said:<32}{speed[way]:>12,.0f}{speed[way] / speed['maximum']:>8.2f}")

    many = list(texts.texts) * 8
    characters = sum(map(len, many))
    ids = {token: i for i, token in enumerate(spec.vocabulary)}
    loop = lambda: [[ids.get(character, 1) for character in text] for text in many]  # noqa: E731
    rates = best_of(
        {
            "loop over a dictionary": lambda: characters_per_second(loop, characters),
            "array look-up": lambda: characters_per_second(lambda: reader.encode(many), characters),
        },
        5,
    )
    slowest = rates["loop over a dictionary"]
    print("characters to ids, million per second")
    for way, rate in rates.items():
        print(f"  {way:<32}{rate / 1e6:>12.1f}{rate / slowest:>8.2f}")


if __name__ == "__main__":
    main()
