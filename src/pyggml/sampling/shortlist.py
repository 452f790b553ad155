"""The beginning of a chain on the largest logits alone, where top-k keeps the same of them as it would of all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyggml.sampling.candidates import Candidates
from pyggml.sampling.dry import Dry
from pyggml.sampling.penalties import Penalties
from pyggml.sampling.stage import Filter, Stage


@dataclass(frozen=True)
class Shortlist:
    """Stages that can do no more than lower logits, and the top-k behind them."""

    lowering: Sequence[Filter | Penalties | Dry]
    n_kept: int

    @classmethod
    def at_the_head_of(cls, stages: Sequence[Stage]) -> "Shortlist | None":
        """None for a chain that begins otherwise: it needs all logits."""
        lowering: list[Filter | Penalties | Dry] = []
        for stage in stages:
            if isinstance(stage, Filter) and stage.n_kept:
                return cls(lowering, stage.n_kept)
            if not isinstance(stage, Filter | Penalties | Dry) or stage.n_lowered is None:
                return None
            lowering.append(stage)
        return None

    @property
    def n_stages(self) -> int:
        """The stages of the chain that it stands for."""
        return len(self.lowering) + 1

    def take(self, largest: Candidates) -> Candidates | None:
        """What top-k keeps, given the largest of all logits from the largest down, NaN before all.

        None where the others matter: if one of them could be among those that are kept, or if some that are kept are
        equal, for their order comes from steps through all logits (see ordering.py).
        """
        # As many that no stage lowers are among these as are kept, and one more.
        n_needed = self.n_kept + 1 + sum(stage.n_lowered or 0 for stage in self.lowering)
        candidates = largest.take(slice(n_needed), is_sorted=True)
        bound = candidates.logits[-1]
        for stage in self.lowering:
            candidates = stage.apply(candidates)
        if self.lowering and np.isnan(candidates.logits).any():
            return None
        first = candidates.first_by_logit(self.n_kept + 1)
        logits = first.logits
        are_decided = len(first) > self.n_kept and logits[self.n_kept - 1] > bound and (logits[:-1] > logits[1:]).all()
        return first.take(slice(self.n_kept), is_sorted=True) if are_decided else None
