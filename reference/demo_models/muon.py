"""Muon: momentum whose matrices are made orthogonal before they are added to the weights.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), with steps as large as AdamW's, as
in J. Liu et al., "Muon is scalable for LLM training" (2025). Matrices of one shape are stepped together.
"""

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315  # of the iteration that moves singular values towards 1
_RMS_OF_ADAMW = 0.2
_MOMENTUM = 0.95


def orthogonal(matrices: Tensor, n_steps: int = 5) -> Tensor:
    """Matrices (batch, rows, columns) with the same singular vectors and all singular values near 1."""
    x = matrices.bfloat16()
    is_tall = x.shape[1] > x.shape[2]
    if is_tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(n_steps):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return (x.mT if is_tall else x).to(matrices.dtype)


class Muon:
    """Steps matrices; their learning rates are meant as AdamW's."""

    def __init__(self, rates: Mapping[Tensor, float], decay: float) -> None:
        self._decay = decay
        groups: dict[tuple[object, float], list[Tensor]] = defaultdict(list)
        for matrix, rate in rates.items():
            groups[tuple(matrix.shape), rate].append(matrix)
        self._groups = [(group, rate, torch.zeros_like(torch.stack(group))) for (_, rate), group in groups.items()]

    def step(self, factor: float) -> None:
        """Use the gradients, at `factor` times the learning rates."""
        with torch.no_grad():
            for matrices, rate, velocity in self._groups:
                gradients = torch.stack([matrix.grad for matrix in matrices])
                velocity.lerp_(gradients, 1 - _MOMENTUM)
                update = orthogonal(gradients.lerp(velocity, _MOMENTUM))
                size = _RMS_OF_ADAMW * max(update.shape[1:]) ** 0.5
                torch._foreach_mul_(matrices, 1 - rate * factor * self._decay)
                torch._foreach_add_(matrices, list(update.unbind(0)), alpha=-rate * factor * size)
