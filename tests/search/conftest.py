"""Shared fixture of the tests of searches."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeps import Here


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Here:
    """Runs searches in this process, in a folder of the test."""
    return Here(monkeypatch, capfd, tmp_path)
