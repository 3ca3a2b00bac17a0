"""A real server on a real socket: slow clients, crowds, signals, several workers."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from bundles import image_bundle
from burnish.deploy.service.running import listening
from launch import start
from serving import connected, noise, png, running, settings

PNG = png(noise())
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
HEAD += b"Content-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_bundle(tmp_path_factory.mktemp("images")).path


def received(line: socket.socket) -> bytes:
    """Until the server closes."""
    found = b""
    while piece := line.recv(65536):
        found += piece
    return found


def test_slow_clients_are_cut_off_and_hold_nobody_up(bundle: Path) -> None:
    with running(settings(bundle, receive_s=0.5)) as where:
        lines = [connected(where) for _ in range(4)]
        lines[1].sendall(b"POST /predict HTTP/1.1\r\nHost:")
        lines[2].sendall(HEAD % 1000 + PNG[:10])
        lines[3].sendall(HEAD % len(PNG) + PNG)  # proper, then silent
        assert httpx.get(f"{where}/health/live").status_code == 200
        dribbling = threading.Thread(target=dribble, args=(lines[1],))
        dribbling.start()
        found = [received(line) for line in lines[:3]]
        assert [answer[:12] for answer in found] == [b"HTTP/1.1 408"] * 3
        assert lines[3].recv(12) == b"HTTP/1.1 200"
        dribbling.join()
        for line in lines:
            line.close()


def test_the_clock_runs_for_a_pipelined_request_too(bundle: Path) -> None:
    with running(settings(bundle, receive_s=0.5)) as where, connected(where) as line:
        line.settimeout(5)
        line.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD % 1000 + b"a")
        found = received(line)
        assert found.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in found


def test_a_request_framed_in_two_ways_is_refused_and_nothing_after_it_is_read(bundle: Path) -> None:
    two = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    two += b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with running(settings(bundle)) as where, connected(where) as line:
        line.sendall(two + b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found = received(line)
    assert found.startswith(b"HTTP/1.1 400")
    assert found.count(b"HTTP/1.1") == 1


def dribble(line: socket.socket) -> None:
    for _ in range(40):
        try:
            line.sendall(b"a")
        except OSError:
            return
        time.sleep(0.05)


def test_connections_are_bounded_and_the_service_answers_afterwards(bundle: Path) -> None:
    with running(settings(bundle, max_connections=8, receive_s=1.0)) as where:
        lines = [connected(where) for _ in range(50)]
        time.sleep(0.2)
        refused = [received(line) for line in lines[10:]]
        assert all(answer.startswith(b"HTTP/1.1 503") for answer in refused)
        assert all(b"retry-after: 1" in answer for answer in refused)
        for line in lines:
            line.close()
        time.sleep(0.2)
        assert httpx.post(f"{where}/predict", files={"file": PNG}).status_code == 200


def test_answers_do_not_wait_for_acknowledgements(bundle: Path) -> None:
    """Asyncio turns Nagle's algorithm off only for sockets that name their protocol."""
    with listening(settings(bundle)) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_nothing_of_the_machinery_shows(bundle: Path) -> None:
    with running(settings(bundle)) as where, connected(where) as line:
        assert "server" not in httpx.get(f"{where}/health/live").headers
        line.sendall(b"no HTTP at all\r\n\r\n")
        answer = received(line)
        assert answer.startswith(b"HTTP/1.1 400")
        assert not re.search(rb"uvicorn|h11|python", answer, re.IGNORECASE)


@pytest.fixture
def served(bundle: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[Popen[str], str]]]:
    processes: list[Popen[str]] = []

    def serve(*options: str) -> tuple[Popen[str], str]:
        process = start("serve", f"run={bundle}", "port=0", "threads=1", *options, cwd=tmp_path)
        processes.append(process)
        assert process.stdout is not None
        found = None
        while not found:
            line = process.stdout.readline()
            assert line, "the service ended"
            found = re.search(r"http://\S+", line)
        until_ready(found[0])
        return process, found[0]

    yield serve
    for process in processes:
        process.kill()
        process.wait()


def until_ready(where: str) -> None:
    for _ in range(200):
        try:
            if httpx.get(f"{where}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("never ready")


def ask_for_ever(where: str, ended: threading.Event) -> tuple[int, list[str], str | None]:
    """Answers, requests that were sent and got none, and what the last answer says comes next."""
    answered, lost, then = 0, [], None
    with httpx.Client() as client:
        while not ended.is_set():
            try:
                response = client.post(f"{where}/predict", content=PNG, headers={
                    "content-type": "image/png"})  # fmt: skip
                answered += response.status_code == 200
                then = response.headers.get("connection")
            except httpx.ConnectError:  # it no longer listens: nothing was accepted
                break
            except httpx.TransportError as error:
                lost.append(repr(error))
    return answered, lost, then


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_sigterm_under_load_loses_no_request(
    served: Callable[..., tuple[Popen[str], str]], workers: int
) -> None:
    process, where = served(f"workers={workers}")
    ended = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask_for_ever, where, ended) for _ in range(8)]
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        ended.set()
    assert code == 0
    assert sum(one.result()[0] for one in asking) > 20
    assert [lost for one in asking for lost in one.result()[1]] == []
    assert [one.result()[2] for one in asking] == ["close"] * 8


def workers_of(process: Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [int(pid) for pid, command in commands.items() if b"spawn_main" in command]


@pytest.mark.slow
def test_workers_share_their_counts_and_the_dead_are_replaced(
    served: Callable[..., tuple[Popen[str], str]],
) -> None:
    process, where = served("workers=2")
    for _ in range(40):  # each on a connection of its own: any worker may take it
        assert httpx.post(f"{where}/predict", files={"file": PNG}).status_code == 200
    line = 'burnish_requests_total{route="/predict",status="200"} 40.0'
    assert line in httpx.get(f"{where}/metrics").text.splitlines()
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    for _ in range(100):
        if len(workers_of(process)) == 2 and workers[0] not in workers_of(process):
            break
        time.sleep(0.1)
    until_ready(where)
    assert len({*workers_of(process), *workers}) == 3
    environment = Path(f"/proc/{workers[1]}/environ").read_bytes()
    shared = re.search(rb"PROMETHEUS_MULTIPROC_DIR=([^\0]+)", environment)
    assert shared
    kept = {path.name for path in Path(os.fsdecode(shared[1])).iterdir()}
    assert f"gauge_livesum_{workers[1]}.db" in kept
    assert f"gauge_livesum_{workers[0]}.db" not in kept
    assert line in httpx.get(f"{where}/metrics").text.splitlines()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_a_taken_port_is_one_line(
    bundle: Path, typed: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(settings(bundle)) as listener:
        port = listener.getsockname()[1]
        assert typed("serve", f"run={bundle}", f"port={port}") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"port: {port} at 127.0.0.1 cannot be had" in error


def test_a_damaged_bundle_and_wrong_options_are_one_line_each(
    tmp_path: Path, typed: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = image_bundle(tmp_path / "bundle").path
    with (damaged / "model.onnx").open("ab") as file:
        file.write(b"more")
    assert typed("serve", f"run={damaged}") == 2
    assert "is not the file that bundle.json was written for" in capsys.readouterr().err
    assert typed("serve", f"run={damaged}", "max_batch=0", "timeout_s=0") == 2
    error = capsys.readouterr().err
    assert "max_batch: must be a number of at least 1, found 0" in error
    assert "timeout_s: must be above 0, found 0.0" in error
    assert typed("serve", "run=nowhere") == 2
