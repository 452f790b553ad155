"""A tensor of a model on its way from a checkpoint into a GGUF file."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from pyggml.convert.source import Floats, Slabs, SourceTensor


@dataclass(frozen=True)
class ModelTensor:
    """Its name in GGUF, its shape with the slowest dimension first, and its weights in pieces of whole rows."""

    name: str
    shape: tuple[int, ...]
    slabs: Slabs

    @property
    def n_weights(self) -> int:
        """How many there are."""
        return math.prod(self.shape)


def whole(name: str, source: SourceTensor) -> ModelTensor:
    """A tensor as it is."""
    return ModelTensor(name, source.shape, source.slabs)


def part(name: str, source: SourceTensor, index: int, n_parts: int) -> ModelTensor:
    """One of so many equal parts along the first dimension, which they must divide."""
    n_rows = source.shape[0] // n_parts
    slabs = partial(source.slabs, index * n_rows, (index + 1) * n_rows)
    return ModelTensor(name, (n_rows, *source.shape[1:]), slabs)


def arranged(
    name: str, source: SourceTensor, step: int, arrange: Callable[[Floats], Floats], shape: tuple[int, ...]
) -> ModelTensor:
    """A tensor of another shape, made piece by piece from multiples of `step` rows."""

    def slabs() -> Iterator[Floats]:
        return (arrange(rows) for rows in source.slabs(step=step))

    return ModelTensor(name, shape, slabs)


def computed(name: str, values: npt.NDArray[np.float32]) -> ModelTensor:
    """A tensor that no checkpoint holds."""
    return ModelTensor(name, values.shape, lambda: iter([values]))
