"""Biases of single tokens, and penalties for tokens that the recent text holds already."""

from collections import deque

import numpy as np
import numpy.typing as npt

from pyggml.sampling.candidates import Candidates


def logit_bias(candidates: Candidates, tokens: npt.NDArray[np.int32], biases: npt.NDArray[np.float32]) -> Candidates:
    """Add biases (m,) to the logits of those of the tokens (m,), each another one, that are candidates."""
    positions, present = candidates.positions_of(tokens)
    logits = candidates.logits.copy()
    logits[positions] += biases[present]
    return candidates.with_logits(logits, is_sorted=False)


class Penalties:
    """Repetition (Keskar et al. 2019, arXiv:1909.05858), frequency and presence penalties over the last tokens.

    A positive logit is divided by `repeat`, others are multiplied; then `frequency` for each occurrence and `presence`
    once are subtracted.
    """

    def __init__(self, last_n: int, repeat: float, frequency: float, presence: float) -> None:
        """Start with no text."""
        self.description = f"penalties of {repeat:g}/{frequency:g}/{presence:g} over {last_n} tokens"
        self._repeat, self._frequency, self._presence = (np.float32(value) for value in (repeat, frequency, presence))
        self._only_lowers = repeat >= 1 and frequency >= 0 and presence >= 0
        self._recent: deque[int] = deque(maxlen=last_n)
        self._counts: dict[int, int] = {}

    @property
    def n_lowered(self) -> int | None:
        """How many logits it lowers now; None if it may raise some."""
        return len(self._counts) if self._only_lowers else None

    def apply(self, candidates: Candidates) -> Candidates:
        """Lower the logits of recent tokens."""
        if not self._counts:
            return candidates.with_logits(candidates.logits, is_sorted=False)
        tokens = np.fromiter(self._counts.keys(), np.int32, len(self._counts))
        counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
        positions, present = candidates.positions_of(tokens)
        found = candidates.logits[positions]
        found = np.where(found <= 0, found * self._repeat, found / self._repeat)
        logits = candidates.logits.copy()
        logits[positions] = found - (counts[present] * self._frequency + self._presence)
        return candidates.with_logits(logits, is_sorted=False)

    def accept(self, token: int) -> None:
        """Count the token, and the one that leaves the window no more."""
        self._counts[token] = self._counts.get(token, 0) + 1
        if len(self._recent) == self._recent.maxlen:
            oldest = self._recent[0]
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]
        self._recent.append(token)

    def reset(self, seed: int) -> None:
        """Forget the text."""
        self._recent.clear()
        self._counts.clear()
