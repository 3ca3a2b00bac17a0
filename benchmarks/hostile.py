"""Over fifty requests that nobody sends with good intentions: status and time of each.

    python benchmarks/hostile.py BUNDLE     (an exported image net)

The service runs in a process of its own; its memory is printed before and after. Exit code 1 if
an answer is not the one expected, or the service does not answer a proper request afterwards.
"""

from __future__ import annotations

import argparse
import sys
import time

from hostile_requests import KEY, Hostile, picture, post, requests
from serving import Service, memory_mb, start

RECEIVE_SECONDS = 4  # of the service here: slow clients need not take the default of 20


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    bundle = parser.parse_args().bundle
    with start(bundle, f"receive_s={RECEIVE_SECONDS}", f"api_key={KEY}") as service:
        post(picture())(service)
        print(f"memory before: {memory_mb(service.pid):.0f} MB\n")
        print(f"{'request':<32}  status  seconds")
        wrong = [one.name for one in requests() if not sent(service, one)]
        now, most = memory_mb(service.pid), memory_mb(service.pid, "VmHWM")
        print(f"\nmemory after: {now:.0f} MB, at most {most:.0f} MB; wrong answers: {len(wrong)}")
    return 1 if wrong else 0


def sent(service: Service, one: Hostile) -> bool:
    """Whether the answer is right; after a crowd the server gets a second to close it all."""
    begun = time.perf_counter()
    try:
        found = one.send(service)
    except OSError:
        found = 0
    seconds = time.perf_counter() - begun
    right = found in one.right
    note = "" if right else f"  WRONG: expected {sorted(one.right)}"
    print(f"{one.name:<32} {found or 'none':>7}  {seconds:7.2f}{note}", flush=True)
    if "connections" in one.name:
        time.sleep(1)
    return right


if __name__ == "__main__":
    sys.exit(main())
