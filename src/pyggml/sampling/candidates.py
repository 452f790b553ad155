"""The tokens still in the running, as each sampler hands them to the next."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml.sampling.float32_math import exp, sequential_sum
from pyggml.sampling.ordering import partial_sort

Float32Array = npt.NDArray[np.float32]
Positions = npt.NDArray[np.intp]

#: Pairs of a candidate and a token to be found, as many as are compared sooner than sorted.
_FEW_PAIRS = 1 << 13


@dataclass(slots=True)
class Candidates:
    """Token ids (n,) with their logits (n,), in an order that matters: the draw walks along it.

    `is_sorted` says that samplers may take the first for the largest. `probabilities` (n,) and `selected`, a position,
    are set by the sampler that chooses. Nothing is ever changed, and arrays are shared between instances. (Not frozen:
    every sampler makes one for every token, which would take three times as long.)
    """

    ids: npt.NDArray[np.int32]
    logits: Float32Array
    is_sorted: bool = False
    probabilities: Float32Array | None = None
    selected: int | None = None

    def __len__(self) -> int:
        """Give the number of candidates."""
        return len(self.ids)

    def take(self, selection: Positions | npt.NDArray[np.bool_] | slice, *, is_sorted: bool) -> "Candidates":
        """Keep these positions, in their order."""
        return Candidates(self.ids[selection], self.logits[selection], is_sorted)

    def with_logits(self, logits: Float32Array, *, is_sorted: bool) -> "Candidates":
        """Exchange the logits (n,)."""
        return Candidates(self.ids, logits, is_sorted)

    def choose(self, position: int, probabilities: Float32Array) -> "Candidates":
        """Select a position."""
        return Candidates(self.ids, self.logits, self.is_sorted, probabilities, position)

    def descending_logits(self) -> Float32Array:
        """Give the logits (n,) from the largest down, without the order of the ids."""
        return self.logits if self.is_sorted else -np.sort(-self.logits)

    def first_by_logit(self, n_wanted: int) -> "Candidates":
        """Keep the first of all candidates in descending order."""
        if self.is_sorted:
            return self.take(slice(n_wanted), is_sorted=True)
        return self.take(partial_sort(self.logits, len(self), n_wanted), is_sorted=True)

    def sorted_by_logit(self) -> "Candidates":
        """Give all candidates in descending order."""
        return self if self.is_sorted else self.first_by_logit(len(self))

    def largest_logit(self) -> np.float32:
        """Give the first of sorted candidates, else the maximum."""
        return np.float32(self.logits[0] if self.is_sorted else self.logits.max())

    def softmax(self) -> Float32Array:
        """Give the probabilities (n,) of the logits, summed in single precision in the present order."""
        return softmax(self.logits, self.largest_logit())

    def positions_of(self, tokens: npt.NDArray[np.int32]) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """Find tokens (m,): the positions of those still present, and which (m,) they are."""
        present = tokens < len(self)
        if present.all() and (self.ids[tokens] == tokens).all():
            return tokens.astype(np.intp), present
        if len(tokens) * len(self) <= _FEW_PAIRS:
            pairs = self.ids == tokens[:, None]
            present = pairs.any(axis=1)
            return pairs.argmax(axis=1)[present], present
        order = np.argsort(self.ids)
        slots = np.minimum(np.searchsorted(self.ids, tokens, sorter=order), len(self) - 1)
        positions = order[slots]
        present = self.ids[positions] == tokens
        return positions[present], present


def softmax(logits: Float32Array, largest: np.float32) -> Float32Array:
    """Give e^(logit - largest) of each, over their sum in single precision in the given order."""
    weights = exp(logits - largest)
    result: Float32Array = weights / sequential_sum(weights)
    return result
