"""``POST /predict``."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from burnish.deploy.service.batching import Row
from burnish.deploy.service.refusal import Refused
from burnish.deploy.service.requests import Asked, Inputs, read_body
from burnish.deploy.service.service import Answered, Service


class Model(BaseModel):
    """Which net answered."""

    name: str
    version: str


class Mistake(BaseModel):
    """Why there is no prediction."""

    status: int
    message: str


class Prediction(BaseModel):
    """Of one input: a class with its probabilities, or an error."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    label: str | None = Field(None, alias="class")
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    error: Mistake | None = None


class Answer(BaseModel):
    """To a request; ``id`` of a prediction is what feedback is given with."""

    id: str
    model: Model
    milliseconds: float
    predictions: list[Prediction]


class Failure(BaseModel):
    """A request that was refused."""

    id: str
    error: Mistake


FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "No proper HTTP, or it names a foreign host"},
    401: {"model": Failure, "description": "The API key is missing or wrong"},
    408: {"description": "The request took too long to arrive"},
    413: {"model": Failure, "description": "Too many bytes, pixels or inputs"},
    415: {"model": Failure, "description": "A media type that is not taken, or no image"},
    422: {"model": Failure, "description": "A wrong field, which is named, or a damaged input"},
    503: {"model": Failure, "description": "Too busy; ask again after Retry-After seconds"},
    504: {"model": Failure, "description": "No answer in time"},
}


def predict_routes(service: Service) -> APIRouter:
    """The route, described for the kind of the bundle."""
    router = APIRouter()
    images = service.decoder.takes_images
    settings = service.settings

    @router.post(
        "/predict",
        summary="Classify one input or several",
        response_model=None,
        responses={200: {"model": Answer, "description": "A prediction of each input"}, **FAILURES},
        openapi_extra={"requestBody": {"required": True, "content": _content(images)}},
    )
    async def predict(request: Request) -> Response:
        state = request.state
        body, kind = await request.body(), request.headers.get("content-type", "")
        if len(body) < _AT_ONCE:
            asked = read_body(body, kind, images, settings.max_items)
        else:
            asked = await service.in_pool(read_body, body, kind, images, settings.max_items)
        key = request.headers.get("x-request-key", state.id)
        answered = await service.predict(asked, state.id, key, state.begun)
        return _response(service, state.id, asked, answered)

    return router


# Bytes that are unpacked in the event loop: going to a thread and back costs more.
_AT_ONCE = 20_000


def _response(service: Service, request_id: str, asked: Asked, answered: Answered) -> Response:
    refused = [o for o in answered.outcomes if isinstance(o, Refused)]
    if len(refused) == len(answered.outcomes):
        if asked.single:
            raise refused[0]
        statuses = {one.status for one in refused}
        status = statuses.pop() if len(statuses) == 1 else 422
        raise Refused(status, f"no input could be classified; the first: {refused[0].message}")
    names = answered.bundle.spec.class_names
    told = {
        "id": request_id,
        "model": {"name": answered.bundle.name, "version": answered.bundle.version},
        "milliseconds": round(answered.milliseconds, 3),
        "predictions": [
            {"id": name, **prediction(outcome, names)}
            for name, outcome in zip(answered.ids, answered.outcomes, strict=True)
        ],
    }
    text = json.dumps(told, ensure_ascii=False, allow_nan=False)
    return Response(text, media_type="application/json")


def prediction(outcome: Row | Refused, class_names: tuple[str, ...]) -> dict[str, Any]:
    """One input's part of the answer."""
    if isinstance(outcome, Refused):
        return {"error": outcome.told()}
    probabilities = outcome.tolist()
    best = int(outcome.argmax())
    return {
        "class": class_names[best],
        "confidence": probabilities[best],
        "probabilities": dict(zip(class_names, probabilities, strict=True)),
    }


def _content(images: bool) -> dict[str, Any]:
    properties = Inputs.model_json_schema()["properties"]
    taken = ("image", "images") if images else ("text", "texts")
    # null is no value that anybody needs to send.
    fields = {name: _without_null(properties[name]) for name in taken}
    one_of = [
        {"type": "object", "properties": {n: f}, "required": [n], "additionalProperties": False}
        for n, f in fields.items()
    ]
    found: dict[str, Any] = {"application/json": {"schema": {"oneOf": one_of}}}
    binary = {"type": "string", "format": "binary"}
    if not images:
        return {**found, "text/plain": {"schema": {"type": "string"}}}
    form = {
        "type": "object",
        "properties": {"file": binary, "files": {"type": "array", "items": binary, "minItems": 1}},
        "anyOf": [{"required": ["file"]}, {"required": ["files"]}],
        "additionalProperties": False,
    }
    raw = {kind: {"schema": binary} for kind in ("image/*", "application/octet-stream")}
    return {**found, "multipart/form-data": {"schema": form}, **raw}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kept = [one for one in schema["anyOf"] if one.get("type") != "null"]
    return kept[0] if len(kept) == 1 else {"anyOf": kept}
