"""Importance matrices: how much the error of each column of a weight counts, as llama-imatrix measures it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pyggml.errors import QuantizeError
from pyggml.quantize.importance_file import mean_squares, read_importance_file


@dataclass(frozen=True)
class Importance:
    """A value for each column of a weight, by the weight's name; a stack of matrices has them one after another."""

    path: str
    columns: Mapping[str, npt.NDArray[np.float32]]
    datasets: tuple[str, ...]
    n_chunks: int

    def without(self, parts: Sequence[str]) -> "Importance":
        """All entries but those whose name contains one of these."""
        return self._kept({name for name in self.columns if not any(part in name for part in parts)})

    def only(self, parts: Sequence[str]) -> "Importance":
        """The entries whose name contains one of these."""
        return self._kept({name for name in self.columns if any(part in name for part in parts)})

    def _kept(self, names: set[str]) -> "Importance":
        return replace(self, columns={name: values for name, values in self.columns.items() if name in names})


def read_importance(path: str) -> Importance:
    """Read a file of llama-imatrix, in GGUF or in the older format.

    Raises QuantizeError for a file that is neither, is damaged, or holds values that are not finite; GGUFError for an
    unsound GGUF file.
    """
    file = read_importance_file(path)
    columns = {name: mean_squares(file, name) for name in file.entries}
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise QuantizeError(f"{path}: the importance of {name!r} is not finite: measure it again")
    return Importance(path, columns, file.datasets, file.n_chunks)
