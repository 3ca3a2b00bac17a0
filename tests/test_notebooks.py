"""Every notebook runs from a clean kernel and shows what it claims; what is kept of it is small."""

from __future__ import annotations

import nbformat
import pytest

from notebooks import FOLDER, executed

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 400_000  # bytes of a notebook with its pictures

# Run behind the last cell: that the sentences of the article are true.
CHECKS = {
    "1_a_loop_by_hand": """
assert torch.equal(w.grad, torch.tensor([9.0, 18.0, 27.0]))
assert largest_difference == 0
assert by_hand[-1] < 1 < by_hand[0]
assert accuracy(net, data.val_dataloader()) > 0.8
""",
    "2_know_your_data": """
assert baseline > 0.9
assert neighbours.score(images.flatten(1), labels) < 0.5  # it was fitted to shuffled labels
assert not torch.equal(augmented, data.preprocess(some))
""",
    "3_train_compare_report": """
for run, hits in zip((mlp, cnn), right, strict=True):
    assert abs(hits.mean() - run.metrics["test/accuracy"]) < 1e-6
    assert abs(report(run)["accuracy"] - hits.mean()) < 1e-12
assert only_cnn - only_mlp == right[1].sum() - right[0].sum()
""",
    "4_explain_and_break": """
assert cheat.metrics["val/accuracy"] > 0.99 > 0.5 > cheat.metrics["test/accuracy"]
assert upper > 0.4
assert follows_dot > 0.9 > 0.1 > follows_digit
assert accuracies[0] > 0.9 and accuracies[32] < 0.5 < noise_accuracy
""",
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_from_a_clean_kernel(path, tmp_path):
    fresh = executed(path, tmp_path, CHECKS[path.stem]).cells[:-1]
    kept = nbformat.read(path, as_version=4).cells
    for now, then in zip(fresh, kept, strict=True):
        if then.cell_type == "code":
            kinds = {output.output_type for output in then.outputs}
            assert {output.output_type for output in now.outputs} == kinds, then.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_is_kept_is_small_and_says_nothing_of_its_machine(path):
    assert path.stat().st_size < LARGEST
    text = path.read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert "Warning" not in text
    assert str(FOLDER.parent) not in text
