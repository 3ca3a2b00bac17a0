"""The requests of hostile.py: what each is, the right statuses (0: none), how it is sent."""

from __future__ import annotations

import base64
import http.client
import io
import json
import resource
import socket
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from serving import Service

KEY = "a-key"
FORM = "multipart/form-data; boundary=edge"


class Hostile(NamedTuple):
    """One kind; ``send`` returns the status."""

    name: str
    right: set[int]
    send: Callable[[Service], int]


def requests() -> Iterator[Hostile]:
    """All of them; a body is made only when its turn comes."""
    yield Hostile("a proper picture", {200}, post(picture()))
    for some in (keys, sizes, pictures, http_itself, routes, forms, values, crowds):
        yield from some()
    yield Hostile("a proper picture again", {200}, post(picture()))


def keys() -> Iterator[Hostile]:
    yield Hostile("no key", {401}, post(picture(), **{"X-API-Key": ""}))
    yield Hostile("a wrong key", {401}, post(picture(), **{"X-API-Key": "é" * 1000}))


def sizes() -> Iterator[Hostile]:
    yield Hostile("image bomb 12000 x 12000", {413}, post(bomb(12000, 12000)))
    yield Hostile("image bomb 65000 x 65000", {413}, post(bomb(65000, 2000)))
    yield Hostile("a bomb in base64", {413}, post_json({"image": in_base64(bomb(12000, 12000))}))
    yield Hostile("1 x 1", {200}, post(picture(1, 1)))
    yield Hostile("a strip of 1 x 1,000,000", {413}, post(bomb(1, 1_000_000)))
    yield Hostile("GIF of 2,000 frames", {200}, post(many_frames(), "image/gif"))
    yield Hostile("JPEG of 100,000 scans", {422}, post(many_scans(), "image/jpeg"))
    yield Hostile("100 MB", {413}, post(bytes(100_000_000)))
    yield Hostile("100 MB in chunks, no length", {413}, endless_chunks)
    yield Hostile("nothing", {422}, post(b""))


def pictures() -> Iterator[Hostile]:
    good = picture()
    jpeg = picture(format="JPEG")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n"
    yield Hostile("truncated PNG", {422}, post(good[: len(good) // 2]))
    yield Hostile("truncated JPEG", {422}, post(jpeg[:400]))
    yield Hostile("polyglot: PNG and script", {200}, post(good + b"<script>alert(1)</script>"))
    yield Hostile("polyglot: PDF and PNG", {415}, post(b"%PDF-1.7\n" + good))
    yield Hostile("EPS, which starts a program", {415}, post(eps, "image/eps"))
    yield Hostile("SVG", {415}, post(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"))
    yield Hostile("EXIF turned to 99", {200}, post(turned(), "image/jpeg"))


def http_itself() -> Iterator[Hostile]:
    good = picture()
    chunked = b"GET /predict HTTP/1.1\r\nHost: x\r\nX-API-Key: a-key\r\nContent-Length: 4\r\n"
    chunked += b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    yield Hostile("a length that is a lie", {408}, raw([head(1000) + good[:10]]))
    yield Hostile("a negative length", {400}, raw([head(-5)]))
    yield Hostile("two lengths", {400}, raw([head(10, "Content-Length: 20")]))
    yield Hostile("two requests in one", {400}, raw([chunked]))
    yield Hostile("TLS to a port without", {400}, raw([b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"]))
    yield Hostile("a head of 1 MB", {400}, raw([head(1, "X-Big: " + "a" * 1_000_000)]))
    early = f"GET /health/live HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n".encode()
    yield Hostile("a pipelined body that stops", {408}, last(early + head(1000) + good[:10]))
    yield Hostile("a slow head", {408}, raw(dribbled(head(10) * 9), 0.1))
    yield Hostile("a slow body", {408}, raw([head(1000), *dribbled(good)], 0.1))
    yield Hostile("newline in the request id", {200}, post(good, **{"X-Request-ID": "a\tb<i>"}))
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    yield Hostile("websocket", {405}, ask("GET", "/predict", None, upgrade))


def routes() -> Iterator[Hostile]:
    yield Hostile("wrong method", {405}, ask("DELETE", "/predict"))
    yield Hostile("a path out of the root", {404}, ask("GET", "/../../etc/passwd"))
    yield Hostile("%2e, zero and no UTF-8", {404}, ask("GET", "/%2e%2e/%00/%ff"))
    yield Hostile("unknown media type", {415}, post(picture(), "application/x-pickle"))


def forms() -> Iterator[Hostile]:
    good = picture()
    yield Hostile("a path as a file name", {200}, post(form("file", "../../x\x00.py", good), FORM))
    yield Hostile("unknown field", {422}, post(form("../x", "a", good), FORM))
    yield Hostile("10,000 files", {413}, post(form("files", "a", b"x", 10_000), FORM))
    two = form("files", "a", good, 2)
    yield Hostile("a form cut within a file", {422}, post(two[: -len(good) // 2], FORM))
    large = form("files", "a", bomb(5000, 5000), 64)
    yield Hostile("64 pictures of 5000 x 5000", {413}, post(large, FORM))
    yield Hostile("a form without its end", {422}, post(form("file", "a", good)[:-9], FORM))


def values() -> Iterator[Hostile]:
    surrogate = b'{"image":"\\ud800"}'
    yield Hostile("JSON 100,000 deep", {422}, post(b'{"image":' + b"[" * 100_000, JSON))
    yield Hostile("JSON of 4 million values", {413}, post_json({"image": [[0] * 2000] * 2000}))
    yield Hostile("JSON: 1,000 digits", {422}, post_json({"image": [[10**999]]}))
    yield Hostile("JSON: lone surrogate", {422}, post(surrogate, JSON))
    yield Hostile("JSON: field in Chinese", {422}, post_json({"图像\u202e": 1}))
    yield Hostile("JSON: 1,000 pictures", {413}, post_json({"images": ["aa"] * 1000}))
    yield Hostile("JSON: ragged pixels", {422}, post_json({"image": [[1, 2], [3]]}))
    wide = ["A" * 9_000_000] + ["a"] * 1000
    yield Hostile("JSON: a string of 9 MB", {422}, post_json({"image": wide}))
    yield Hostile("the same as a tensor", {400}, tensor(wide))
    yield Hostile("JSON: 300 and NaN", {422}, post_json({"image": [[300, float("nan")]]}))


def crowds() -> Iterator[Hostile]:
    yield Hostile("ten clients that left", {0}, gone)
    yield Hostile("10,000 silent connections", {200, 503}, crowd)


JSON = "application/json"


def picture(width: int = 40, height: int = 30, format: str = "PNG", **save: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), format, **save)


def saved(image: Image.Image, format: str, **save: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **save)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A small PNG of one colour and many pixels, never held in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    packer = zlib.compressobj(9)
    row = bytes(1 + width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    start = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def many_frames() -> bytes:
    frames = [Image.new("P", (200, 200), i % 256) for i in range(2000)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def many_scans() -> bytes:
    """A progressive JPEG whose last scan is repeated until the file is 5 MB."""
    whole = saved(Image.new("RGB", (4000, 4000)), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * (5_000_000 // (len(whole) - last)) + whole[-2:]


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 99  # there are eight orientations
    exif[0x010E] = "../../etc/passwd\x00" * 1000
    return picture(format="JPEG", exif=exif)


def form(name: str, file_name: str, data: bytes, count: int = 1) -> bytes:
    lines = f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
    return (lines.encode() + b"\r\n" + data + b"\r\n") * count + b"--edge--\r\n"


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def post(body: bytes, kind: str = "image/png", **headers: str) -> Callable[[Service], int]:
    return ask("POST", "/predict", body, {"Content-Type": kind, **headers})


def post_json(value: object) -> Callable[[Service], int]:
    return post(json.dumps(value).encode(), JSON)


def tensor(data: list[Any]) -> Callable[[Service], int]:
    """For the Open Inference Protocol, under the name and of the shape that the service tells."""

    def send(service: Service) -> int:
        with closing(http.client.HTTPConnection(service.host, service.port, timeout=60)) as line:
            line.request("GET", "/model/info", headers={"X-API-Key": KEY})
            told = json.loads(line.getresponse().read())
        shape = [1, *(told["input"][key] for key in ("channels", "height", "width"))]
        given = {"name": "images", "shape": shape, "datatype": "UINT8", "data": data}
        body = json.dumps({"inputs": [given]}).encode()
        headers = {"Content-Type": JSON}
        return ask("POST", f"/v2/models/{told['name']}/infer", body, headers)(service)

    return send


def ask(
    method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Callable[[Service], int]:
    """An ordinary request."""

    def send(service: Service) -> int:
        line = http.client.HTTPConnection(service.host, service.port, timeout=60)
        with closing(line):
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
                line.request(method, path, body, {"X-API-Key": KEY, **(headers or {})})
            return line.getresponse().status

    return send


def raw(pieces: Iterable[bytes], pause: float = 0) -> Callable[[Service], int]:
    """Bytes as they are, with seconds between the pieces."""

    def send(service: Service) -> int:
        with socket.create_connection((service.host, service.port), 60) as line:
            with suppress(BrokenPipeError, ConnectionResetError):
                for piece in pieces:
                    line.sendall(piece)
                    if pause and (found := answered(line, pause)):
                        return found
            return answered(line, 60)

    return send


def last(data: bytes) -> Callable[[Service], int]:
    """The status of the last answer before the service closes the connection."""

    def send(service: Service) -> int:
        with socket.create_connection((service.host, service.port), 60) as line:
            line.sendall(data)
            found = b"".join(iter(lambda: line.recv(10_000), b""))
        return int(found.rpartition(b"HTTP/1.1 ")[2][:3] or 0)

    return send


def answered(line: socket.socket, seconds: float) -> int:
    line.settimeout(seconds)
    try:
        found = line.recv(100)
    except TimeoutError:
        return 0
    return int(found[9:12]) if found.startswith(b"HTTP/1.1 ") else 0


def head(length: int | str, *more: str) -> bytes:
    lines = ("POST /predict HTTP/1.1", "Host: x", f"X-API-Key: {KEY}", "Content-Type: image/png",
             f"Content-Length: {length}", *more)  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def dribbled(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def endless_chunks(service: Service) -> int:
    first = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    return raw([first, *[chunk] * 1600])(service)


def gone(service: Service) -> int:
    """Ten clients that do not wait for their answer."""
    body = picture(1500, 1500)
    for _ in range(10):
        with socket.create_connection((service.host, service.port), 60) as line:
            line.sendall(head(len(body)) + body)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return 0


def crowd(service: Service, count: int = 10_000) -> int:
    """So many connections that say nothing; then one that asks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    lines = []
    try:
        for _ in range(min(count, hard - 200)):
            with suppress(OSError):
                lines.append(socket.create_connection((service.host, service.port), 5))
        return ask("GET", "/health/live")(service)
    finally:
        for line in lines:
            line.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
