"""The Open Inference Protocol (KServe V2) over HTTP, for clients that speak it.

https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md

Every bundle that answers is a model: by its name alone, when the request's key decides between two
of one name as it does for ``/predict``, or by name and version.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ValidationError

from burnish.deploy.service.engine import Engine
from burnish.deploy.service.refusal import Refused
from burnish.deploy.service.requests import MOST_VALUES
from burnish.deploy.service.schema import schema_of
from burnish.deploy.service.service import Service
from burnish.deploy.service.tensors import (
    TEXTS,
    InferRequest,
    input_name,
    metadata,
    output_tensors,
    read_tensor,
    wanted_outputs,
)
from burnish.errors import DataError

# A format's name in the protocol.
PLATFORMS = {"onnx": "onnx_onnxv1"}
# Sent with the protocol's binary extension, which is not offered.
BINARY = "inference-header-content-length"
Name = Annotated[str, Path(max_length=300)]


class ProtocolError(BaseModel):
    """What the protocol has an error say."""

    error: str


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ProtocolError, "description": "Something in the request is wrong"},
    401: {"model": ProtocolError, "description": "The API key is missing or wrong"},
    404: {"model": ProtocolError, "description": "There is no such model"},
    413: {"model": ProtocolError, "description": "Too many bytes, values or inputs"},
    422: {"model": ProtocolError, "description": "A name that is too long"},
    503: {"model": ProtocolError, "description": "Not ready, or too busy"},
    504: {"model": ProtocolError, "description": "No answer in time"},
}


def kserve_routes(service: Service) -> APIRouter:
    """The routes below ``/v2``."""
    router = APIRouter(prefix="/v2", responses=ERRORS)

    async def by_name(request: Request, name: Name) -> Engine:
        return find_engine(service, name, None, _key(request))

    async def by_version(request: Request, name: Name, version: Name) -> Engine:
        return find_engine(service, name, version, _key(request))

    _about_server(router, service)
    _about_model(router, service, "/models/{name}", by_name)
    _about_model(router, service, "/models/{name}/versions/{version}", by_version)
    return router


def find_engine(service: Service, name: str, version: str | None, key: str) -> Engine:
    """The engine of a model.

    Args:
        service: with the engines.
        name: of the bundle.
        version: of the bundle; None: the request's key decides.
        key: of the request.

    Raises:
        Refused: with 404 if there is none.
    """
    named = [engine for engine in service.engines if engine.bundle.name == name]
    if not named:
        raise Refused(404, f"there is no model {name[:100]}")
    if version is None:
        chosen = service.choose(key)
        return chosen if chosen in named else named[0]
    for engine in named:
        if engine.bundle.version == version:
            return engine
    raise Refused(404, f"there is no version {version[:100]} of this model")


def _about_server(router: APIRouter, service: Service) -> None:
    @router.get("/health/live", summary="The process answers (KServe V2)")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready", summary="All models are ready (KServe V2)")
    async def ready() -> dict[str, bool]:
        for engine in service.engines:
            await _check_ready(engine)
        return {"live": True, "ready": True}

    @router.get("", summary="The server (KServe V2)")
    async def server() -> dict[str, Any]:
        # Required, but which program of which version answers is nobody's business.
        return {"name": "burnish", "version": "2", "extensions": []}


def _about_model(
    router: APIRouter, service: Service, path: str, of: Callable[..., Awaitable[Engine]]
) -> None:
    asked: Any = Depends(of)

    @router.get(path, summary="A model's tensors (KServe V2)")
    async def model(engine: Engine = asked) -> dict[str, Any]:
        name = engine.bundle.name
        inputs, outputs = metadata(engine.predictor.preprocess)
        return {
            "name": name,
            "versions": [e.bundle.version for e in service.engines if e.bundle.name == name],
            "platform": PLATFORMS.get(engine.bundle.format, engine.bundle.format),
            "inputs": inputs,
            "outputs": outputs,
        }

    @router.get(f"{path}/ready", summary="The model is ready (KServe V2)")
    async def model_ready(engine: Engine = asked) -> dict[str, Any]:
        await _check_ready(engine)
        return {"name": engine.bundle.name, "ready": True}

    body = {"application/json": {"schema": schema_of(InferRequest)}}

    @router.post(
        f"{path}/infer",
        summary="Classify tensors (KServe V2)",
        response_model=None,
        openapi_extra={"requestBody": {"required": True, "content": body}},
    )
    async def infer(request: Request, engine: Engine = asked) -> Response:
        return await _infer(service, request, engine)


async def _infer(service: Service, request: Request, engine: Engine) -> Response:
    state, body = request.state, await request.body()
    if BINARY in request.headers:
        raise Refused(400, "binary tensor data are not supported, send JSON")
    most = service.settings.max_items
    given, items, outputs = await service.in_pool(_read, body, engine, most)
    answered = await service.classify(
        items, len(items) == 1, state.id, _key(request), state.begun, engine
    )
    for outcome in answered.outcomes:
        if isinstance(outcome, Refused):
            raise outcome
    told = {
        "model_name": engine.bundle.name,
        "model_version": engine.bundle.version,
        **({} if given.id is None else {"id": given.id}),
        "parameters": {"request_id": state.id},  # what feedback is given with
        "outputs": output_tensors(answered.outcomes, engine.bundle.spec, outputs),  # type: ignore[arg-type]
    }
    return Response(json.dumps(told, ensure_ascii=False), media_type="application/json")


def _read(body: bytes, engine: Engine, most: int) -> tuple[InferRequest, list[Any], list[str]]:
    """The request, its items and the outputs it wants; runs in a thread: a body may be large."""
    if body.count(b"[") + body.count(b",") + body.count(b"{") > MOST_VALUES:
        raise Refused(413, "the JSON has too many values; send fewer images at once")
    try:
        request = InferRequest.model_validate_json(body)
        items = read_tensor(request.inputs[0], engine.predictor.preprocess, most)
        if input_name(engine.predictor.preprocess) == TEXTS:
            items = [engine.decoder.read(text) for text in items]  # within the limits
        return request, items, wanted_outputs(request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:200] or "the body"
        raise Refused(400, f"{place}: {first['msg']}") from error
    except DataError as error:
        raise Refused(400, str(error)) from error
    except MemoryError as error:
        raise Refused(413, "the tensor is too large") from error


async def _check_ready(engine: Engine) -> None:
    if not await engine.ready():
        raise Refused(503, f"{engine.bundle.name} does not reproduce its sample's output")


def _key(request: Request) -> str:
    """What A/B divides by."""
    key: str = request.headers.get("x-request-key", request.state.id)
    return key
