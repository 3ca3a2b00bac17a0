"""The service as an ASGI application: where everything is plugged together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from burnish.deploy.bundle import read_bundle
from burnish.deploy.service.docs import docs_route
from burnish.deploy.service.guard import Guard
from burnish.deploy.service.health import health_routes
from burnish.deploy.service.kserve import kserve_routes
from burnish.deploy.service.monitor import monitor_routes
from burnish.deploy.service.page import page_router
from burnish.deploy.service.predict import predict_routes
from burnish.deploy.service.refusal import Refused
from burnish.deploy.service.routing import add_second
from burnish.deploy.service.service import Service
from burnish.deploy.service.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Everything that one process serves; ``app.state.service`` holds its :class:`Service`.

    Raises:
        BundleError: if a bundle is damaged.
    """
    bundle = read_bundle(settings.bundle)
    service = Service(settings, bundle)
    app = FastAPI(
        title=f"burnish: {bundle.name}",
        version=bundle.version,
        description="Classifies what it is sent.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_second(service)
    app.state.service = service
    _words(app)
    app.include_router(predict_routes(service))
    app.include_router(health_routes(service))
    app.include_router(docs_route(app))
    if settings.log is not None:
        from burnish.deploy.service.feedback import log_routes

        app.include_router(log_routes(service, settings.log))
    app.include_router(kserve_routes(service))
    app.include_router(page_router())
    app.include_router(monitor_routes(service))
    _middleware(app, service)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    service.start()
    yield
    await service.stop()


def _middleware(app: FastAPI, service: Service) -> None:
    app.add_middleware(Guard, settings=service.settings, metrics=service.metrics)
    if service.settings.cors:  # outermost: a refusal must be readable by the page as well
        from starlette.middleware.cors import CORSMiddleware

        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.cors),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )


def _words(app: FastAPI) -> None:
    """Every error is told the same way."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        body = error.body(request.state.id, request.url.path)
        return Response(body, error.status, error.headers, "application/json")

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return await refused(request, Refused(422, f"{place}: {first['msg']}"))

    async def other(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        # FastAPI's own 400 is a body in no encoding of JSON: one more kind of wrong content.
        status = 422 if error.status_code == 400 else error.status_code
        return await refused(request, Refused(status, str(error.detail), error.headers))

    async def crashed(request: Request, error: Exception) -> Response:
        return await refused(request, Refused(500, "something went wrong in the service"))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)
    app.add_exception_handler(Exception, crashed)
