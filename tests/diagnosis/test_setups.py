"""Each broken set-up is named by its own check, and a healthy one by none."""

from __future__ import annotations

import pytest
from broken import HEALTHY, SETUPS

from burnish.commands.diagnose import make_subject
from burnish.config.check import check
from burnish.diagnosis.checks import CHECKS
from launch import composed

# The others measure this machine.
JUDGING = [name for name in CHECKS if name not in ("batch_size", "loading", "memory")]

OF_DATA = ("inputs", "labels", "signal")
# What else must be wrong then: what follows from it. All else is no more than a note.
FOLLOWS = {
    "inputs not normalised": {"initial loss"},
    "net frozen": {"one batch"},
    "optimizer that changes nothing": {"one batch"},
    "dead ReLUs": {"gradients"},
}
# The search for a rate takes its time: here it has something to say, or must not.
WITH_RATE = ("healthy", "learning rate 1000 times too high")


@pytest.mark.parametrize("name", SETUPS)
def test_what_is_broken_is_named_and_nothing_else(name):
    culprit, overrides = SETUPS[name]
    config = composed("name=x", "trainer=cpu", *HEALTHY, *overrides)
    assert check(config, ["broken"]) == []
    subject = make_subject(config, ["broken"])
    chosen = [c for c in JUDGING if c != "learning_rate" or name in WITH_RATE]
    if any("model" in override or "optimizer" in override for override in overrides):
        chosen = [c for c in chosen if c not in OF_DATA]  # it is the healthy one's
    verdicts = [CHECKS[c](subject) for c in chosen]
    assert [v.check for v in verdicts] == [c.replace("_", " ") for c in chosen]
    found = {verdict.check for verdict in verdicts if verdict.status == "broken"}
    if name == "learning rate 1000 times too high":
        assert culprit in found <= {culprit, "one batch"}
    else:
        assert found == ({culprit} if culprit else set()) | FOLLOWS.get(name, set())
    assert all(verdict.advice for verdict in verdicts if verdict.status == "broken")
