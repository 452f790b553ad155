"""Batches filled up to a few sizes, so that the plans of these, and their graphs, are met again and again.

What fills a batch up is its last token once more: the same numbers are written to the same places of the cache, and
nobody asks for its results. As many outputs as there may be are filled up in the same way.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.protocol import Step

#: Up to how many there is a plan for each number, and beyond which steps are 32 wide instead of 8. Kernels for few and
#: for many tokens part at a multiple of 8.
_FEW, _MANY = 8, 64


def padded_size(n: int, most: int) -> int:
    """The size that `n` items are filled up to, `most` at most."""
    width = 1 if n <= _FEW else 8 if n <= _MANY else 32
    return min(-(-n // width) * width, most)


def repeat_last(rows: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """Rows, with the last of them once more until there are `n`."""
    missing = n - len(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing > 0 and len(rows) else rows


def padded(step: Step, n_batch: int) -> Step:
    """The step filled up."""
    n, n_outputs = (padded_size(len(each), n_batch) for each in (step.tokens, step.outputs))
    if (n, n_outputs) == (len(step.tokens), len(step.outputs)):
        return step
    sections, given_rows = step.section_positions, step.given_rows
    return replace(
        step,
        tokens=repeat_last(step.tokens, n),
        positions=repeat_last(step.positions, n),
        sequences=repeat_last(step.sequences, n),
        outputs=repeat_last(step.outputs, n_outputs),
        section_positions=None if sections is None else repeat_last(sections, n),
        given_rows=None if given_rows is None else repeat_last(given_rows, n),
    )


def tile_sequences(step: Step, whole: Step) -> npt.NDArray[np.int32]:
    """The sequences (n_tokens,) by which the queries of a step, and of what it was filled up to, are cut into tiles.

    Where each sequence has one token, each token more counts as of another one: so all tiles are those of one token.
    """
    if np.array_equal(step.sequences, np.arange(len(step.page_table))):
        return np.arange(len(whole.tokens), dtype=np.int32)
    return whole.sequences
