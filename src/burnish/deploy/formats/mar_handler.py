"""What TorchServe calls; travels in the archive beside the net (see mar.py).

A request is an image's bytes or a text, as its body or under "data"; the answer to each is its
classes with their probabilities, likeliest first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]

from burnish.deploy.preprocess import Preprocess, Sentences, preprocess
from burnish.errors import DataError
from burnish.spec import spec_from_dict


class Handler:
    """One worker's net."""

    session: Any
    preprocess: Preprocess
    class_names: tuple[str, ...]

    def initialize(self, context: Any) -> None:
        """Load the net from the folder that TorchServe unpacked.

        Args:
            context: TorchServe's; knows the folder.
        """
        folder = Path(context.system_properties["model_dir"])
        spec = spec_from_dict(json.loads((folder / "spec.json").read_text(encoding="utf-8")))
        self.preprocess = preprocess(spec)
        self.class_names = spec.class_names
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
        )

    def handle(self, requests: Sequence[Mapping[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Answer a batch; what cannot be read gets an error of its own.

        Args:
            requests: one mapping each, with ``body`` or ``data``.
            context: TorchServe's.
        """
        answers: list[dict[str, Any]] = [{} for _ in requests]
        items: dict[int, Any] = {}
        for i, request in enumerate(requests):
            try:
                items[i] = self._read(request.get("body") or request.get("data") or b"")
            except (DataError, UnicodeDecodeError) as error:
                answers[i] = {"error": str(error)}
        if items:
            inputs = self.preprocess.batch([*items.values()])
            logits = self.session.run(None, {self.preprocess.name: inputs})[0]
            for i, row in zip(items, logits, strict=True):
                answers[i] = self._named(row)
        return answers

    def _read(self, content: Any) -> Any:
        if isinstance(self.preprocess, Sentences) and isinstance(content, bytes | bytearray):
            content = content.decode()
        return self.preprocess.read(bytes(content) if isinstance(content, bytearray) else content)

    def _named(self, logits: Any) -> dict[str, float]:
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        return {self.class_names[i]: float(shares[i]) for i in np.argsort(-shares)}
