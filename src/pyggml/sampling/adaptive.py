"""Adaptive-p: prefer tokens near a target probability, corrected by what was chosen before."""

import numpy as np

from pyggml.sampling.candidates import Candidates
from pyggml.sampling.random import MersenneTwister

_PEAK_LOGIT = np.float32(5)
_SHARPNESS = np.float32(10)
_INVERSE_WIDTH = np.float32(1) / np.float32(0.3)
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


class AdaptiveP:
    """Give candidates new logits by the distance of their probability from the target, and draw.

    The target moves so that the probabilities of accepted tokens, averaged with weights decay^age, approach `target`.
    A negative target leaves the logits alone. https://github.com/ggml-org/llama.cpp/pull/17927.
    """

    def __init__(self, target: float, decay: float, seed: int) -> None:
        """Start the average as if the target had always been met."""
        self.description = f"adaptive-p {target:g}, decay {decay:g}"
        self._target, self._decay = np.float32(target), np.float32(decay)
        self._initial_weight = _ONE / (_ONE - self._decay)
        self._initial_sum = self._target / (_ONE - self._decay)
        self._weighted_sum, self._total_weight = self._initial_sum, self._initial_weight
        self._pending: tuple[int, np.float32] | None = None
        self._random = MersenneTwister(seed)

    def apply(self, candidates: Candidates) -> Candidates:
        """Choose; the probability of the choice counts once it is accepted."""
        original = candidates.softmax()
        if self._target < 0:
            return candidates.choose(self._random.next_index(original), original)
        distance = np.abs((original - self._adapted_target()) * _INVERSE_WIDTH)
        logits = _PEAK_LOGIT - _SHARPNESS * distance * distance / (_ONE + distance)
        masked = candidates.logits == -np.inf
        # The order stays, and with it the claim that the first is largest: llama.cpp's softmax trusts it as well.
        changed = candidates.with_logits(np.where(masked, candidates.logits, logits), is_sorted=candidates.is_sorted)
        probabilities = changed.softmax()
        position = self._random.next_index(probabilities)
        self._pending = int(changed.ids[position]), np.float32(original[position])
        return changed.choose(position, probabilities)

    def _adapted_target(self) -> np.float32:
        target = _clamp(self._target)
        if self._total_weight == 0:
            return target
        return _clamp(_TWO * target - self._weighted_sum / self._total_weight)

    def accept(self, token: int) -> None:
        """Average the probability of the token in, if it is the one chosen."""
        if self._pending and self._pending[0] == token:
            self._weighted_sum = self._pending[1] + self._decay * self._weighted_sum
            self._total_weight = _ONE + self._decay * self._total_weight
        self._pending = None

    def reset(self, seed: int) -> None:
        """Forget what was accepted, and start random numbers over."""
        self._weighted_sum, self._total_weight = self._initial_sum, self._initial_weight
        self._pending = None
        self._random = MersenneTwister(seed)


def _clamp(value: np.float32) -> np.float32:
    return min(max(value, _ZERO), _ONE)
