"""What the configuration's own keys do to the objects that are built."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from burnish.build import build_data, build_loss, build_module
from burnish.errors import ConfigError
from burnish.nn.losses import class_weights
from launch import TINY, composed

COUNTS = [90, 30, 6]
CROSS_ENTROPY = {"_target_": "torch.nn.CrossEntropyLoss"}
FOCAL = {"_target_": "burnish.nn.losses.FocalLoss", "gamma": 2.0, "alpha": None}


def test_balanced_weights_are_scikit_learns():
    labels = [label for label, count in enumerate(COUNTS) for _ in range(count)]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights("balanced", COUNTS) == pytest.approx(expected.tolist())
    assert class_weights("balanced", [4, 0, 4]) == [1.0, 0.0, 1.0]
    assert class_weights("none", COUNTS) is None
    assert class_weights([1, 2, 3], COUNTS) == [1.0, 2.0, 3.0]


def test_cross_entropy_is_weighted():
    logits, labels = torch.randn(8, 3), torch.tensor([0, 0, 0, 1, 1, 2, 0, 1])
    loss = build_loss({**CROSS_ENTROPY, "class_weights": "balanced"}, COUNTS)
    weights = torch.tensor(class_weights("balanced", COUNTS))
    # Over the samples, not over their weights as torch does: then a figure does not depend on how
    # samples are gathered into batches.
    each = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(loss(logits, labels), (weights[labels] * each).mean())
    one_by_one = [loss(logits[i : i + 1], labels[i : i + 1]) for i in range(8)]
    torch.testing.assert_close(torch.stack(one_by_one).mean(), loss(logits, labels))
    plain = build_loss({**CROSS_ENTROPY, "class_weights": "none"}, COUNTS)
    torch.testing.assert_close(plain(logits, labels), F.cross_entropy(logits, labels))


def test_focal_takes_the_weights_as_alpha():
    loss = build_loss({**FOCAL, "class_weights": [1.0, 2.0, 4.0]}, COUNTS)
    assert loss.alpha.tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({**CROSS_ENTROPY, "class_weights": [1.0, 2.0]}, "one weight for each of the 3 classes"),
        ({**FOCAL, "alpha": 0.5, "class_weights": "balanced"}, "loss.alpha is given too"),
        ({"_target_": "torch.nn.L1Loss", "class_weights": "balanced"}, "takes no weights"),
    ],
)
def test_weights_that_cannot_be_are_refused(node, said):
    with pytest.raises(ConfigError, match=said):
        build_loss(node, COUNTS)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_backbone_learns_at_its_own_rate(optimizer):
    config = composed(*TINY, f"optimizer={optimizer}", "optimizer.backbone_lr_scale=0.1")
    module = build_module(config, build_data(config))
    made = module.configure_optimizers()
    head = {id(p) for p in module.net.head.parameters()}
    for group in made.param_groups:
        factor = 1.0 if {id(p) for p in group["params"]} <= head else 0.1
        assert group["lr"] == pytest.approx(factor * config["optimizer"]["lr"])
        if optimizer == "muon":
            rest = group["adamw_lr"] * group["lr"] / group["base_lr"]
            assert rest == pytest.approx(factor * config["optimizer"]["adamw_lr"])
    assert {group["name"] for group in made.param_groups} == {
        "decay", "no_decay", "backbone_decay", "backbone_no_decay",
    }  # fmt: skip


def test_one_cycle_keeps_the_backbones_scale(tmp_path):
    from burnish.build import build_trainer

    config = composed(
        *TINY[:-1], "scheduler=one_cycle", "optimizer.backbone_lr_scale=0.1",
        "trainer.max_epochs=1", "logger=none", "callbacks=none",
    )  # fmt: skip
    data = build_data(config)
    module = build_module(config, data)
    trainer = build_trainer(config, tmp_path)
    trainer.fit(module, data)
    rates = {g["name"]: g["max_lr"] for g in trainer.optimizers[0].param_groups}
    assert rates["backbone_decay"] == pytest.approx(0.1 * rates["decay"])


class Expecting(torch.nn.Module):
    """A net whose weights were trained with a normalisation of their own."""

    normalisation = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))

    def __init__(self, spec):
        super().__init__()
        self.head = torch.nn.Linear(3, spec.num_classes)


def test_the_weights_normalisation_becomes_the_datas(folder_root):
    images = ("data=image_folder", f"data.root={folder_root}", "data.image_size=32", "name=x")
    config = composed(*images, "model=resnet18")
    data = build_data(config)
    assert build_module(config, data).card["spec"]["mean"] == config["data"]["mean"]
    config["model"] = {"_target_": "test_build.Expecting", "_partial_": True}
    module = build_module(config, data, ["test_build"])
    assert module.card["spec"]["mean"] == [0.1, 0.2, 0.3]
    assert module.card["spec"]["std"] == [0.4, 0.5, 0.6]
    batch = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in Expecting.normalisation)
    torch.testing.assert_close(data.preprocess(batch), (batch / 255 - mean) / std)


def test_a_sampler_reaches_the_training_loader_only(tmp_path):
    rows = [("a", f"text a {i}") for i in range(90)] + [("b", f"text b {i}") for i in range(10)]
    table = tmp_path / "uneven.csv"
    table.write_text("label,text\n" + "".join(f"{label},{text}\n" for label, text in rows))
    counts = {}
    for sampler in ("none", "balanced", "undersample"):
        config = composed(
            "data=text", f"data.path={table}", "model=bag_of_embeddings", "name=x",
            f"data.sampler={sampler}", "data.batch_size=8",
        )  # fmt: skip
        data = build_data(config)
        labels = torch.cat([labels for _, labels in data.train_dataloader()])
        counts[sampler] = torch.bincount(labels).tolist()
        evaluated = torch.cat([labels for _, labels in data.test_dataloader()])
        assert torch.bincount(evaluated).tolist() == [18, 2]
    assert counts["none"] == [65, 7]
    assert counts["balanced"] == [36, 36]
    assert counts["undersample"] == [7, 7]
