"""The service under load, over loopback, with a client in a process of its own.

    python benchmarks/serving.py BUNDLE [INT8_BUNDLE]      requests/s, p50, p99; batching on, off
    python benchmarks/serving.py BUNDLE --soak 20000        memory over time
    python benchmarks/serving.py BUNDLE --terminate         SIGTERM under load: nothing may be lost

The services of a table run side by side and are asked in turns, so that a busy machine is busy for
all of them. On few cores the client takes its share of them.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

SERVE = Path(__file__).resolve().parents[1] / "src" / "serve.py"
CONCURRENCIES = (1, 16, 64)


@dataclass(frozen=True)
class Service:
    """A running service."""

    host: str
    port: int
    pid: int
    process: subprocess.Popen[str]


@contextmanager
def start(bundle: str, *options: str) -> Iterator[Service]:
    """A service on a free port; it is killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, str(SERVE), f"run={bundle}", "port=0", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://([\d.]+):(\d+)", line):
                yield Service(found[1], int(found[2]), process.pid, process)
                return
        raise SystemExit(f"the service for {bundle} did not start")
    finally:
        process.kill()
        process.wait()


def memory_mb(pid: int, key: str = "VmRSS") -> float:
    """Of a process: resident now, or at most (VmHWM)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


@dataclass
class Load:
    """What clients saw.

    Args:
        seconds: from the first request to the last answer.
        milliseconds: of each answered request.
        statuses: how often each came.
        lost: requests sent whole whose connection closed without an answer.
    """

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.milliseconds, share))


def request(seed: int = 0, size: int = 32) -> bytes:
    """POST /predict with a PNG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    body = out.getvalue()
    head = (
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


REQUESTS = [request(seed) for seed in range(32)]


async def load(service: Service, concurrency: int, count: int) -> Load:
    """So many clients on connections that stay open, until so many requests are sent."""
    seen = Load()
    left = iter(range(count))
    begun = time.perf_counter()
    await asyncio.gather(*(_client(service, left, seen) for _ in range(concurrency)))
    seen.seconds = time.perf_counter() - begun
    return seen


async def _client(service: Service, left: Iterator[int], seen: Load) -> None:
    line = None
    for number in left:
        try:
            line = line or await asyncio.open_connection(service.host, service.port)
        except OSError:  # no longer listening: nothing was accepted
            return
        begun = time.perf_counter()
        status, closes = await _asked(line, REQUESTS[number % len(REQUESTS)])
        if status:
            seen.milliseconds.append(1000 * (time.perf_counter() - begun))
            seen.statuses[status] = seen.statuses.get(status, 0) + 1
        else:
            seen.lost += 1
        if closes:
            line[1].close()
            line = None
    if line is not None:
        line[1].close()


async def _asked(
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes
) -> tuple[int, bool]:
    """The status, 0 if there was none, and whether the connection ends."""
    reader, writer = line
    try:
        writer.write(data)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    except (OSError, asyncio.IncompleteReadError):
        return 0, True
    return int(head[9:12]), b"connection: close" in head


def table(bundles: list[str], count: int, rounds: int) -> None:
    """Every service in turns, at every concurrency."""
    with ExitStack() as stack:
        services = {
            f"{Path(bundle).name} {label}": stack.enter_context(start(bundle, option))
            for bundle in bundles
            for label, option in (("batched", "max_batch=16"), ("one by one", "max_batch=1"))
        }
        for service in services.values():
            asyncio.run(load(service, 4, 20))
        print(f"{'service':<28} clients  requests/s   p50 ms   p99 ms  statuses")
        for clients in CONCURRENCIES:
            seen: dict[str, list[Load]] = {name: [] for name in services}
            for _ in range(rounds):
                for name, service in services.items():
                    seen[name].append(asyncio.run(load(service, clients, count)))
            for name, loads in seen.items():
                whole = Load(
                    sum(one.seconds for one in loads),
                    [ms for one in loads for ms in one.milliseconds],
                )
                statuses = sorted({s for one in loads for s in one.statuses})
                print(
                    f"{name:<28} {clients:7d} {whole.rate:11.1f} {whole.percentile(50):8.1f} "
                    f"{whole.percentile(99):8.1f}  {statuses}",
                    flush=True,
                )


def soak(bundle: str, count: int, options: list[str]) -> None:
    """Memory of the service after every tenth of the requests."""
    with start(bundle, *options) as service:
        print("requests  memory MB  requests/s  statuses")
        for part in range(11):
            seen = asyncio.run(load(service, 16, count // 10 if part else 200))
            print(
                f"{part * (count // 10) + 200:8d} {memory_mb(service.pid):10.1f} "
                f"{seen.rate:11.1f}  {seen.statuses} lost {seen.lost}",
                flush=True,
            )


def terminate(bundle: str, rounds: int = 5) -> int:
    """SIGTERM while 16 clients ask; returns how many requests were lost."""
    lost = 0
    for _ in range(rounds):
        with start(bundle) as service:
            seen, seconds = asyncio.run(_terminated(service))
            code = service.process.wait(60)
        lost += seen.lost
        print(
            f"answered {sum(seen.statuses.values())} {seen.statuses}, lost {seen.lost}, "
            f"ended {seconds:.2f} s after SIGTERM with exit code {code}",
            flush=True,
        )
    return lost


async def _terminated(service: Service) -> tuple[Load, float]:
    clients = asyncio.create_task(load(service, 16, 1_000_000))
    await asyncio.sleep(2)
    os.kill(service.pid, signal.SIGTERM)
    begun = time.perf_counter()
    await asyncio.to_thread(service.process.wait, 60)
    return await clients, time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--soak", type=int, metavar="REQUESTS")
    parser.add_argument("--terminate", action="store_true")
    parser.add_argument("--count", type=int, default=200, help="requests of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--option", action="append", default=[], help="key=value of the service")
    given = parser.parse_args()
    if given.terminate:
        return 1 if terminate(given.bundles[0]) else 0
    if given.soak:
        soak(given.bundles[0], given.soak, given.option)
    else:
        table(given.bundles, given.count, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
