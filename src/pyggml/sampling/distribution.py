"""The end of a chain: a draw from the probabilities, or the largest logit."""

import numpy as np

from pyggml.sampling.candidates import Candidates
from pyggml.sampling.float32_math import exp
from pyggml.sampling.random import MersenneTwister


def greedy(candidates: Candidates) -> Candidates:
    """Choose the first of the largest logits; no probabilities are computed."""
    return Candidates(candidates.ids, candidates.logits, candidates.is_sorted, selected=int(candidates.logits.argmax()))


class Draw:
    """Choose by walking along the candidates until their summed probability reaches a random number."""

    def __init__(self, seed: int) -> None:
        """Start the random numbers of this seed."""
        self.description = "draw"
        self._random = MersenneTwister(seed)

    def apply(self, candidates: Candidates) -> Candidates:
        """Draw once, even from a single candidate; weights are floats, their sums doubles."""
        uniform = self._random.next_double()
        if len(candidates) == 1:
            return candidates.choose(0, np.ones(1, np.float32))
        weights = exp(candidates.logits - candidates.largest_logit()).astype(np.float64)
        cumulative = np.add.accumulate(weights)
        total = cumulative[-1]
        reached = cumulative >= total * uniform
        # Without a finite logit nothing is reached; llama.cpp takes the last candidate then.
        position = int(reached.argmax()) if reached[-1] else len(candidates) - 1
        return candidates.choose(position, (weights / total).astype(np.float32))

    def accept(self, token: int) -> None:
        """Do nothing."""

    def reset(self, seed: int) -> None:
        """Start random numbers over."""
        self._random = MersenneTwister(seed)
