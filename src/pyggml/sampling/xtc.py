"""XTC, "exclude top choices": sometimes drop the most likely candidates."""

import numpy as np

from pyggml.sampling.candidates import Candidates
from pyggml.sampling.random import MersenneTwister


class Xtc:
    """With a given probability drop every candidate that reaches the threshold, save the least likely of them.

    p-e-w 2024, https://github.com/oobabooga/text-generation-webui/pull/6335.
    """

    def __init__(self, probability: float, threshold: float, min_keep: int, seed: int) -> None:
        """Start the random numbers of this seed."""
        self.description = f"xtc {probability:g} above {threshold:g}"
        self._probability, self._threshold = np.float32(probability), np.float32(threshold)
        self._min_keep = min_keep
        self._random = MersenneTwister(seed)

    def apply(self, candidates: Candidates) -> Candidates:
        """Draw once if there is anything to drop; drop if the chance says so."""
        if len(candidates) < 2 or self._random.next_float() > self._probability:
            return candidates
        candidates = candidates.sorted_by_logit()
        below = ~(candidates.softmax() >= self._threshold)
        n_dropped = (int(below.argmax()) if below.any() else len(candidates)) - 1
        if n_dropped <= 0 or len(candidates) - n_dropped < self._min_keep:
            return candidates
        return candidates.take(slice(n_dropped, None), is_sorted=True)

    def accept(self, token: int) -> None:
        """Do nothing."""

    def reset(self, seed: int) -> None:
        """Start random numbers over."""
        self._random = MersenneTwister(seed)
