"""How far two models' predictions are apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


def log_probabilities(logits: Logits) -> npt.NDArray[np.float64]:
    """The logarithm of the softmax of each row."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float64)


@dataclass(frozen=True)
class Divergence:
    """Over a text, teacher-forced."""

    mean_kl: float
    """Mean Kullback-Leibler divergence of the second from the first, in nats."""
    top_1: float
    """The share of positions at which both have the same most probable token."""


def divergence(first: Sequence[Logits], second: Sequence[Logits]) -> Divergence:
    """Compare the logits of several texts."""
    a, b = np.concatenate(first), np.concatenate(second)
    log_p, log_q = log_probabilities(a), log_probabilities(b)
    kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    return Divergence(float(kl.mean()), float((a.argmax(axis=1) == b.argmax(axis=1)).mean()))
