"""ExecuTorch computes what torch does; run by ``make test-executorch``, which installs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from burnish.deploy.loading import runtime
from burnish.deploy.making import make_bundle
from nets import OF_TEXTS, TEXTS, net_of, spec_for, trained

pytestmark = pytest.mark.executorch


# Not text_transformer: ExecuTorch 1.5.1 refuses its lengths at run time, and so does the export.
@pytest.mark.parametrize("name", ["mlp", "simple_cnn", "resnet18", "text_cnn"])
def test_pte_agrees_with_torch_at_any_size(name: str, tmp_path: Path) -> None:
    net, spec = net_of(name), spec_for(name)
    run = runtime(make_bundle(trained(net, spec, tmp_path), "executorch", tmp_path / "bundle"))
    for size in (1, 3, 19):  # more than a program takes at once
        inputs = torch.randn(size, 3, 32, 32)
        if name in OF_TEXTS:
            inputs = torch.randint(1, TEXTS.vocabulary_size, (size, 9))
        with torch.inference_mode():
            expected = net(inputs)
        found = torch.from_numpy(run(inputs.numpy()))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
