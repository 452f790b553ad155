"""The logits of all tokens, most of which may still lie on a device."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml.sampling.candidates import Candidates


@dataclass(frozen=True, slots=True)
class Logits:
    """What a token is chosen by."""

    fetch: Callable[[], npt.NDArray[np.float32]]
    """Gives all of them (n_tokens,)."""
    largest: Candidates | None = None
    """The largest from the largest down, NaN before all, if they are at hand before the others."""

    @classmethod
    def of(cls, logits: npt.NDArray[np.float32]) -> "Logits":
        """All of them (n_tokens,), at hand."""
        return cls(lambda: logits)
