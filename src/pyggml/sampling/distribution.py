"""The end of a chain: a draw from the probabilities, or the largest logit."""

from ctypes import addressof, c_double, c_int64

import numpy as np

from pyggml.sampling.addresses import address_of
from pyggml.sampling.candidates import Candidates
from pyggml.sampling.random import MersenneTwister
from pyggml_kernels.choosing import draw


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
        uniform, position = c_double(self._random.next_double()), c_int64()
        if len(candidates) == 1:
            return candidates.choose(0, np.ones(1, np.float32))
        logits = np.ascontiguousarray(candidates.logits)
        probabilities = np.empty_like(logits)
        highest = 0 if candidates.is_sorted else int(logits.argmax())
        results = address_of(probabilities), addressof(position)
        draw.quick(address_of(logits), len(logits), highest, addressof(uniform), *results)
        return candidates.choose(position.value, probabilities)

    def accept(self, token: int) -> None:
        """Do nothing."""

    def reset(self, seed: int) -> None:
        """Start random numbers over."""
        self._random = MersenneTwister(seed)
