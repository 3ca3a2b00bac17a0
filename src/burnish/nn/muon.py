"""Muon for the matrices of a net and AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim._muon import DEFAULT_A, DEFAULT_B, DEFAULT_C, EPS, muon
from torch.optim.adamw import adamw
from torch.optim.optimizer import ParamsT

from burnish.nn.checks import not_between, not_fraction, not_positive, report

ADJUSTMENTS = (None, "original", "match_rms_adamw", "spectral_unclamped")


class MuonWithAdamW(Optimizer):
    """Orthogonalised momentum for weights of two and more dimensions, AdamW for all others.

    Convolution kernels count as matrices ``[out, in * height * width]``. The arithmetic is that
    of ``torch.optim.Muon`` and ``torch.optim.AdamW``; what is new is that both live in one
    optimizer, with one state dict and one ``lr`` for schedules to turn: ``adamw_lr`` follows in
    proportion, so any torch scheduler scales both.

    A parameter's shape decides, for an optimizer does not see names: embeddings and the output
    layer get Muon too. Its authors leave these to AdamW; put them into a parameter group with
    ``"use_muon": False`` for that.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.

    Args:
        params: parameters or parameter groups; a group may set every argument of its own.
        lr: learning rate per optimizer step of the matrices, above 0; before ``adjust_lr_fn``.
        momentum: of Muon, in [0, 1).
        nesterov: whether Muon looks ahead.
        weight_decay: decoupled, times the learning rate of the parameter.
        ns_steps: Newton-Schulz iterations, computed in bfloat16.
        adjust_lr_fn: how a matrix's shape scales its rate; see ``torch.optim.Muon``.
        adamw_lr: learning rate per optimizer step of the rest while the rate of the matrices
            is ``lr``.
        adamw_betas: decay rates of AdamW's two moments.
        adamw_eps: AdamW's term against division by zero.

    Raises:
        ConfigError: naming the argument under ``optimizer.``.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.01,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        adamw_lr: float = 1e-3,
        adamw_betas: Sequence[float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
    ) -> None:
        report(
            not_between("optimizer.lr", lr, 1e-12, float("inf")),
            not_fraction("optimizer.momentum", momentum),
            not_between("optimizer.weight_decay", weight_decay, 0, float("inf")),
            not_positive("optimizer.ns_steps", ns_steps),
            None
            if adjust_lr_fn in ADJUSTMENTS
            else f"optimizer.adjust_lr_fn: must be one of {ADJUSTMENTS}, found {adjust_lr_fn!r}",
            not_between("optimizer.adamw_lr", adamw_lr, 0, float("inf")),
            _not_betas("optimizer.adamw_betas", adamw_betas),
            not_between("optimizer.adamw_eps", adamw_eps, 0, float("inf")),
        )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "adamw_lr": adamw_lr,
            "adamw_betas": tuple(adamw_betas),
            "adamw_eps": adamw_eps,
            "use_muon": True,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its ``adamw_lr`` is the one that belongs to its own first ``lr``."""
        param_group.setdefault("base_lr", param_group.get("lr", self.defaults["lr"]))
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one optimizer step; parameters without a gradient stay as they are.

        Args:
            closure: computes the loss and its gradients anew, and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            matrices = [p for p in moved if p.ndim >= 2 and group["use_muon"]]
            rest = [p for p in moved if p.ndim < 2 or not group["use_muon"]]
            self._muon_step(group, matrices)
            self._adamw_step(group, rest)
        return loss

    def _muon_step(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = _matrix(torch.zeros_like(p))
        # A view of the parameter, but a copy where the kernel lies channels last in memory.
        matrices = [_matrix(p) for p in params]
        muon(
            matrices,
            [_matrix(_gradient(p)) for p in params],
            [self.state[p]["momentum_buffer"] for p in params],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            nesterov=group["nesterov"],
            ns_coefficients=(DEFAULT_A, DEFAULT_B, DEFAULT_C),
            ns_steps=group["ns_steps"],
            eps=EPS,
            adjust_lr_fn=group["adjust_lr_fn"],
            has_complex=False,
        )
        for p, matrix in zip(params, matrices, strict=True):
            if matrix.data_ptr() != p.data_ptr():
                p.copy_(matrix.view(p.shape))

    def _adamw_step(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p]["step"] = torch.zeros((), dtype=torch.float32)
                self.state[p]["exp_avg"] = torch.zeros_like(p)
                self.state[p]["exp_avg_sq"] = torch.zeros_like(p)
        states = [self.state[p] for p in params]
        beta1, beta2 = group["adamw_betas"]
        adamw(
            params,
            [_gradient(p) for p in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["adamw_lr"] * (group["lr"] / group["base_lr"]),
            weight_decay=group["weight_decay"],
            eps=group["adamw_eps"],
            maximize=False,
        )


def _not_betas(key: str, betas: Sequence[float]) -> str | None:
    if len(betas) == 2 and not any(not_fraction(key, beta) for beta in betas):
        return None
    return f"{key}: must be two numbers from 0 to below 1, found {list(betas)}"


def _gradient(p: Tensor) -> Tensor:
    """The gradient of a parameter that has one."""
    assert p.grad is not None
    return p.grad


def _matrix(weight: Tensor) -> Tensor:
    """``[out, ...]`` as ``[out, rest]``."""
    return weight.flatten(1)
