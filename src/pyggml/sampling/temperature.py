"""Temperature, fixed or following the entropy."""

import numpy as np

from pyggml.sampling.candidates import Candidates
from pyggml.sampling.float32_math import log, power, sequential_sum


def temperature(candidates: Candidates, value: float | np.float32) -> Candidates:
    """Divide the logits by the temperature; at 0 or below mask all but the first of the largest."""
    logits, single = candidates.logits, np.float32(value)
    if single > 0:
        return candidates.with_logits(logits / single, is_sorted=candidates.is_sorted)
    masked = np.full_like(logits, -np.inf)
    largest = int(logits.argmax())
    masked[largest] = logits[largest]
    return candidates.with_logits(masked, is_sorted=candidates.is_sorted)


def dynamic_temperature(candidates: Candidates, middle: float, reach: float, exponent: float) -> Candidates:
    """Choose a temperature between middle - reach and middle + reach by the entropy, then divide by it.

    The entropy counts relative to the largest possible among these candidates, raised to the exponent.
    """
    if len(candidates) <= 1:
        return candidates
    candidates = candidates.sorted_by_logit()
    probabilities = candidates.softmax()
    positive = probabilities[probabilities > 0]
    entropy = np.float32(0) - sequential_sum(positive * log(positive))
    largest_entropy = -log(np.array([np.float32(1) / np.float32(len(candidates))]))[0]
    lowest = max(np.float32(0), np.float32(middle) - np.float32(reach))
    highest = np.float32(middle) + np.float32(reach)
    return temperature(candidates, lowest + (highest - lowest) * power(entropy / largest_entropy, np.float32(exponent)))
