"""The chain of samplers: from logits to a token."""

import secrets
from collections.abc import Sequence
from math import isnan

import numpy as np
import numpy.typing as npt

from pyggml.errors import SamplingError
from pyggml.sampling.candidates import Candidates
from pyggml.sampling.logits import Logits
from pyggml.sampling.options import SamplingOptions
from pyggml.sampling.random import LARGEST_SEED
from pyggml.sampling.shortlist import Shortlist
from pyggml.sampling.stage import Filter, Stage
from pyggml.sampling.stages import active_stages
from pyggml.sampling.vocabulary import Vocabulary


class Sampler:
    """Chooses tokens by llama.cpp's samplers in the order of the options; those that are turned off are left out.

    The same seed, logits and accepted tokens give the same choices as llama.cpp's chain. All random samplers start
    from one seed. After `sample`, `candidates` holds what the draw was made from, and may share the logits.
    """

    def __init__(self, options: SamplingOptions, vocabulary: Vocabulary) -> None:
        """Build the chain. Raises SamplingError for a bias on a token that the vocabulary lacks."""
        self._options = options
        self._n_tokens = vocabulary.n_tokens
        self._ids = np.arange(vocabulary.n_tokens, dtype=np.int32)
        self.seed = _choose_seed(options)
        self._stages = list(active_stages(options, vocabulary, self.seed))
        self._listeners = [stage for stage in self._stages if not isinstance(stage, Filter)]
        self._shortlist = Shortlist.at_the_head_of(self._stages)
        self.candidates: Candidates | None = None

    @property
    def begins_with_the_largest(self) -> bool:
        """Whether the largest logits are enough for most tokens: top-k stands before all that needs others."""
        return self._shortlist is not None

    def choose(self, logits: Logits) -> int:
        """Choose as `sample` does by all logits, which are fetched only if the largest do not decide."""
        if logits.largest is not None and self._shortlist is not None:
            with np.errstate(all="ignore"):
                candidates = self._shortlist.take(logits.largest)
            if candidates is not None:
                return self._finish(candidates, self._stages[self._shortlist.n_stages :])
        return self.sample(logits.fetch())

    def sample(self, logits: npt.NDArray[np.float32]) -> int:
        """Choose a token by the logits (n_tokens,), which stay as they are; the token is not accepted yet.

        Raises SamplingError if the logits have another shape or type, or hold NaN.
        """
        if logits.shape != (self._n_tokens,) or logits.dtype != np.float32:
            raise SamplingError(
                f"logits are {logits.dtype} of shape {logits.shape}; "
                f"allowed: float32 of shape ({self._n_tokens},), one for each token"
            )
        # The first NaN, if there is one, counts as the largest.
        largest = logits.argmax()
        if isnan(logits[largest]):
            raise SamplingError(
                f"logits hold NaN, first for token {largest}; the model's weights or the computation are broken"
            )
        return self._finish(Candidates(self._ids, logits), self._stages)

    def _finish(self, candidates: Candidates, stages: Sequence[Stage]) -> int:
        with np.errstate(all="ignore"):
            for stage in stages:
                candidates = stage.apply(candidates)
        self.candidates = candidates
        return int(candidates.ids[candidates.selected])

    def accept(self, token: int) -> None:
        """Tell the samplers that this token comes next in the text, be it chosen or of the prompt."""
        for stage in self._listeners:
            stage.accept(token)

    def reset(self) -> None:
        """Forget all accepted tokens and start the random numbers over; a random seed is chosen anew."""
        self.seed = _choose_seed(self._options)
        self.candidates = None
        for stage in self._stages:
            stage.reset(self.seed)

    def describe(self) -> str:
        """Give the active samplers in their order, and the seed, on one line."""
        steps = " -> ".join(stage.description for stage in self._stages)
        return f"sampler chain: logits -> {steps} (seed {self.seed})"


def _choose_seed(options: SamplingOptions) -> int:
    if options.seed is None or options.is_seed_random:
        return secrets.randbelow(LARGEST_SEED)
    return options.seed
