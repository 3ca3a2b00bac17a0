"""``/health``, ``/model/info`` and ``/metrics``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from burnish.deploy.service.predict import Failure
from burnish.deploy.service.refusal import Refused
from burnish.deploy.service.service import Service
from burnish.spec import ImageSpec, Spec, TextSpec


def health_routes(service: Service) -> APIRouter:
    """For probes, people and Prometheus."""
    router = APIRouter()
    not_ready: dict[int | str, Any] = {503: {"model": Failure, "description": "Not ready"}}

    @router.get("/health/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/health/ready", summary="The sample gives its output", responses=not_ready)
    async def ready() -> dict[str, str]:
        for engine in service.engines:
            if not await engine.ready():
                raise Refused(503, f"{engine.bundle.name} does not reproduce its sample's output")
        return {"status": "ready"}

    @router.get("/model/info", summary="What the net takes and knows")
    async def info() -> dict[str, Any]:
        more = {name: await service.aside(tell) for name, tell in service.info.items()}
        return {**described(service), **more}

    @router.get("/metrics", summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        text, kind = await service.aside(service.metrics.text)
        return Response(text, media_type=kind)

    return router


def described(service: Service) -> dict[str, Any]:
    """The first bundle, without paths and versions of programs."""
    bundle = service.engine.bundle
    settings = service.settings
    return {
        "name": bundle.name,
        "version": bundle.version,
        "format": bundle.format,
        "quantize": bundle.card.get("quantize", "none"),
        "created": bundle.card.get("created"),
        **_input(bundle.spec),
        "classes": list(bundle.spec.class_names),
        "measured": bundle.card.get("measured"),
        "limits": {
            "body_mb": settings.max_body_mb,
            "pixels": settings.max_pixels,
            "items": settings.max_items,
            "characters": settings.max_characters,
        },
    }


def _input(spec: Spec) -> dict[str, Any]:
    if isinstance(spec, TextSpec):
        return {"kind": "text", "input": {"tokens": spec.max_length, "tokenizer": spec.tokenizer}}
    assert isinstance(spec, ImageSpec)
    size = {"channels": spec.channels, "height": spec.height, "width": spec.width}
    return {"kind": "image", "input": size}
