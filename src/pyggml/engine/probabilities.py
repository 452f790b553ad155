"""How likely tokens were, for those who ask: before the samplers, or after them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml.sampling import Candidates


@dataclass(frozen=True)
class TokenProbabilities:
    """The probability of the chosen token, and the most likely tokens with theirs, from the largest down."""

    chosen: float
    top: tuple[tuple[int, float], ...]


def before_sampling(logits: npt.NDArray[np.float32], chosen: int, n_top: int) -> TokenProbabilities:
    """By the softmax of the logits (n_vocab,)."""
    weights = np.exp(logits - logits.max())
    total = float(weights.sum(dtype=np.float64))
    n_top = min(n_top, len(logits))
    likely = np.argpartition(-logits, n_top - 1)[:n_top]
    likely = likely[np.lexsort((likely, -logits[likely]))]
    top = tuple((int(token), float(weights[token]) / total) for token in likely)
    return TokenProbabilities(float(weights[chosen]) / total, top)


def after_sampling(candidates: Candidates, chosen: int, n_top: int) -> TokenProbabilities:
    """By what the draw was made from; tokens that could not be drawn are left out."""
    probabilities = candidates.softmax() if candidates.probabilities is None else candidates.probabilities
    order = np.argsort(-probabilities, kind="stable")[:n_top]
    top = tuple((int(candidates.ids[i]), float(probabilities[i])) for i in order if probabilities[i] > 0)
    place = np.flatnonzero(candidates.ids == chosen)
    return TokenProbabilities(float(probabilities[place[0]]) if len(place) else 0.0, top)
