"""JSON schemas for places of the OpenAPI document that FastAPI does not fill in itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema in one piece: ``$defs`` within a route cannot be referred to.

    Args:
        model: must not contain itself.
    """
    schema = model.model_json_schema()
    found: dict[str, Any] = _inlined(schema, schema.pop("$defs", {}))
    return found


def _inlined(node: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(one, known) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(known[node["$ref"].rpartition("/")[2]], known)
    return {key: _inlined(value, known) for key, value in node.items()}
