"""What OMP_WAIT_POLICY=PASSIVE costs on free cores and gains beside other busy processes.

    python benchmarks/busy_cores.py

Trains an MLP (batch 64) and the small CNN (batch 128) on random images with torch's threads, alone
and while other processes keep every core busy. burnish leaves the variable to its user: neither
setting is better everywhere. Wall time per step, interleaved, median of the rounds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

ROUNDS = 3
STEPS = {"mlp": 300, "cnn": 40}

STEP = """
import sys, time, torch
from torch import nn
if sys.argv[1] == "mlp":
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    x, y = torch.rand(64, 1, 28, 28), torch.randint(0, 10, (64,))
else:
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3),
                        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    x, y = torch.rand(128, 3, 32, 32), torch.randint(0, 10, (128,))
optimizer = torch.optim.Adam(net.parameters(), fused=True)
for step in range(int(sys.argv[2]) + 5):
    if step == 5:
        start = time.perf_counter()
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
print((time.perf_counter() - start) / int(sys.argv[2]))
"""
BUSY = "while True: pass"


def seconds_per_step(net: str, policy: str | None) -> float:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    command = [sys.executable, "-c", STEP, net, str(STEPS[net])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measured(net: str) -> dict[str | None, float]:
    values: dict[str | None, list[float]] = {None: [], "PASSIVE": []}
    for _ in range(ROUNDS):
        for policy, seconds in values.items():
            seconds.append(seconds_per_step(net, policy))
    return {policy: statistics.median(seconds) for policy, seconds in values.items()}


def main() -> None:
    print(f"{'':<26}{'spinning':>12}{'sleeping':>12}{'ratio':>8}")
    for beside in (0, os.cpu_count() or 1):
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(beside)]
        try:
            for net in STEPS:
                result = measured(net)
                spinning, sleeping = result[None] * 1e3, result["PASSIVE"] * 1e3
                name = f"{net}, {'alone' if not beside else f'beside {beside} busy'}"
                print(
                    f"{name:<26}{spinning:>9.2f} ms{sleeping:>9.2f} ms{spinning / sleeping:>8.2f}"
                )
        finally:
            for other in others:
                other.kill()


if __name__ == "__main__":
    main()
