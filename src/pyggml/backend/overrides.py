"""Weights that lie on another device than their layer."""

import re
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pyggml.backend.protocol import Weight, WeightStore
from pyggml.errors import UsageError

Store = TypeVar("Store", bound=WeightStore)


class TensorOverride(Generic[Store]):
    """A place for all tensors in whose names a pattern is found; remembers which weights it was given."""

    def __init__(self, pattern: str, store: Store) -> None:
        """Raises UsageError for a pattern that is none."""
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise UsageError(f"override_tensor has {pattern!r}, which is no regular expression: {error}") from None
        self.store = store
        self._weights: list[Weight] = []

    def takes(self, name: str) -> bool:
        """Whether a tensor of this name belongs here."""
        return self._pattern.search(name) is not None

    def holds(self, weight: Weight | None) -> bool:
        """Whether this weight lies here."""
        return any(weight is each for each in self._weights)

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> Weight:
        """See `WeightStore.matrix`."""
        return self._kept(self.store.matrix(data, type_id, n_rows, n_columns))

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> Weight:
        """See `WeightStore.table`."""
        return self._kept(self.store.table(data, type_id, n_rows, n_columns))

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> Weight:
        """See `WeightStore.vector`."""
        return self._kept(self.store.vector(data, type_id, n_columns))

    def _kept(self, weight: Weight) -> Weight:
        self._weights.append(weight)
        return weight
