"""Weights that learn: gradients, optimizers, a moving average, and the learning rate over time."""

import math
from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from demo_models.learning import EMBEDDING, Batch, loss_of
from demo_models.muon import Muon
from demo_models.qwen2vl import Weights
from demo_models.shape import Shape


@dataclass(frozen=True)
class Schedule:
    """Learning rates as a share of their peak.

    They rise over `n_warmup` steps and fall, along a cosine, from the share `decay_from` of the time until its end to
    `lowest`. A share of 1 never falls: for a run that another one goes on from.
    """

    n_warmup: int
    decay_from: float
    lowest: float = 0.02

    def factor(self, step: int, progress: float) -> float:
        """The share for a step, at a share of the time."""
        rise = min(1.0, (step + 1) / self.n_warmup)
        if progress <= self.decay_from or self.decay_from >= 1:
            return rise
        past = (progress - self.decay_from) / (1 - self.decay_from)
        return rise * (self.lowest + (1 - self.lowest) * 0.5 * (1 + math.cos(math.pi * past)))


@dataclass(frozen=True)
class Rates:
    """Learning rates of the language model and the tower, and the decay of matrices.

    With Muon, which steps all matrices but the embedding and the tower's first, the embedding learns at half the rate.
    """

    text: float
    tower: float
    decay: float
    with_muon: bool


class Learner:
    """Weights in float32 that learn in bfloat16; `average` is what to evaluate and keep."""

    def __init__(self, weights: Weights, shape: Shape, rates: Rates, device: torch.device, average: float) -> None:
        self.shape, self.device = shape, device
        self.weights = {name: value.to(device).requires_grad_() for name, value in weights.items()}
        self.average = {name: value.detach().clone() for name, value in self.weights.items()}
        self.n_steps = self.n_skipped = 0
        self._keep = average
        by_muon = [name for name, value in self.weights.items() if rates.with_muon and _suits_muon(name, value)]
        self._muon = Muon({self.weights[name]: _rate(name, rates) for name in by_muon}, rates.decay)
        groups: dict[tuple[float, float], list[Tensor]] = defaultdict(list)
        for name, value in self.weights.items():
            if name not in by_muon:
                peak = _rate(name, rates) * (0.5 if rates.with_muon and name == EMBEDDING else 1.0)
                groups[peak, rates.decay if value.ndim > 1 and not rates.with_muon else 0.0].append(value)
        self._adam = torch.optim.AdamW(
            [{"params": values, "peak": peak, "weight_decay": decay} for (peak, decay), values in groups.items()],
            betas=(0.9, 0.95),
            fused=device.type == "cuda",
        )

    def learn(self, batch: Batch, factor: float) -> Tensor:
        """One step at `factor` times the learning rates; returns the loss. Gradients that are not finite are left."""
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = loss_of(self.weights, self.shape, batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.weights.values()), 1.0)
        if torch.isfinite(norm):
            self._step(factor)
        else:
            self.n_skipped += 1
        for value in self.weights.values():
            value.grad = None
        return loss.detach()

    def _step(self, factor: float) -> None:
        self._muon.step(factor)
        for group in self._adam.param_groups:
            group["lr"] = group["peak"] * factor
        self._adam.step()
        self.n_steps += 1
        newest = [value.detach() for value in self.weights.values()]
        share = 1 - min(self._keep, 1 - 10 / (self.n_steps + 10))
        torch._foreach_lerp_(list(self.average.values()), newest, share)


def _suits_muon(name: str, value: Tensor) -> bool:
    return value.ndim == 2 and name != EMBEDDING


def _rate(name: str, rates: Rates) -> float:
    return rates.tower if name.startswith("visual.") else rates.text


def training_device() -> torch.device:
    """The last GPU, or the CPU."""
    torch.set_float32_matmul_precision("high")
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    torch.cuda.set_device(device)
    torch.backends.cuda.enable_cudnn_sdp(False)
    return device
