"""Who may ask: keys, the host a request names, pages of other origins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_service_limits import KIND, PNG, sent

from bundles import image_bundle
from burnish.deploy.service.app import create_app
from burnish.deploy.service.settings import KEY_VARIABLE
from burnish.deploy.service.settings import settings as from_options
from burnish.errors import ConfigError
from serving import base64_of, settings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_bundle(tmp_path_factory.mktemp("images")).path


def test_the_key_is_asked_for_except_by_probes_and_the_page(bundle: Path) -> None:
    app = create_app(settings(bundle, api_key="clé"))
    key = "clé".encode()
    ask = {"content": PNG}
    answers = sent(
        app,
        *[("GET", path, {}) for path in ("/health/live", "/health/ready", "/")],
        *[("GET", path, {}) for path in ("/model/info", "/metrics", "/docs", "/no", "/page/")],
        ("POST", "/predict", {**ask, "headers": KIND}),
        ("POST", "/predict", {**ask, "headers": {**KIND, "X-API-Key": "cle"}}),
        ("POST", "/predict", {**ask, "headers": {**KIND, "Authorization": b"Basic " + key}}),
        ("POST", "/predict", {**ask, "headers": {**KIND, "Authorization": b"Bearer " + key}}),
        ("POST", "/predict", {**ask, "headers": {**KIND, "X-API-Key": key}}),
    )
    found = [answer.status_code for answer in answers]
    assert found == [200] * 3 + [401] * 5 + [401] * 3 + [200] * 2
    assert "www-authenticate" in answers[3].headers


def test_a_key_in_the_environment_is_one_even_if_it_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "kept")
    assert from_options({"api_key": None}, Path()).api_key == "kept"
    assert from_options({"api_key": 0}, Path()).api_key == "0"
    monkeypatch.setenv(KEY_VARIABLE, "")
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        from_options({"api_key": None}, Path())


def test_pages_that_browsers_open_take_the_key_as_a_password(bundle: Path) -> None:
    app = create_app(settings(bundle, api_key="clé"))
    right, wrong = (
        {"headers": {"Authorization": "Basic " + base64_of(f"any:{key}".encode())}}
        for key in ("clé", "no")
    )
    picture = {"content": PNG, "headers": {**KIND, **right["headers"]}}
    answers = sent(
        app,
        *[("GET", path, right) for path in ("/docs", "/openapi.json", "/metrics")],
        ("GET", "/docs", wrong),
        ("POST", "/predict", picture),
    )
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 401]
    assert answers[3].headers["www-authenticate"].startswith("Basic ")
    assert answers[4].headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("given", "taken"),
    [({}, False), ({"host": "0.0.0.0"}, True), ({"api_key": "k"}, True)],
)
def test_a_page_of_another_name_cannot_ask_a_local_service(
    bundle: Path, given: dict[str, Any], taken: bool
) -> None:
    names = ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"]
    foreign = ["evil.example", "localhost.evil.example", "evil.example:8000", "127.0.0.1.nip.io"]
    app = create_app(settings(bundle, **given))
    asks = [("GET", "/health/live", {"headers": {"Host": name}}) for name in names + foreign]
    found = [answer.status_code for answer in sent(app, *asks)]
    assert found == [200] * 4 + ([200] if taken else [400]) * 4


def test_other_origins_are_admitted_only_by_name(bundle: Path) -> None:
    origin = {"Origin": "https://example.org"}
    ask = ("POST", "/predict", {"content": PNG, "headers": {**KIND, **origin}})
    (closed,) = sent(create_app(settings(bundle)), ask)
    (opened,) = sent(create_app(settings(bundle, cors=("https://example.org",))), ask)
    (refused,) = sent(create_app(settings(bundle, cors=("https://example.org",), api_key="k")), ask)
    assert "access-control-allow-origin" not in closed.headers
    assert opened.headers["access-control-allow-origin"] == "https://example.org"
    assert refused.status_code == 401
    assert "access-control-allow-origin" in refused.headers
