"""Looking at the inputs of matrix products: sums over all rows, from which the importance of weights is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pyggml.backend.graph import Linear, Node, Value
from pyggml.backend.protocol import Weight


@dataclass(frozen=True, eq=False)
class ColumnSums:
    """What the rows of an activation came to, column by column; added up in float, a row after the other."""

    values: npt.NDArray[np.float32]
    """(n_columns,)"""
    squares: npt.NDArray[np.float32]
    """(n_columns,)"""
    count: npt.NDArray[np.int64]
    """How many rows, (1,)"""

    @classmethod
    def zeros(cls, n_columns: int) -> "ColumnSums":
        """No rows yet."""
        return cls(np.zeros(n_columns, np.float32), np.zeros(n_columns, np.float32), np.zeros(1, np.int64))


@dataclass(frozen=True)
class Observe(Node):
    """Adds all rows of x to sums that outlive the step, if there are `min_rows` of them; its output is empty."""

    x: Value
    sums: ColumnSums = field(compare=False)
    min_rows: int


class Observer:
    """Sums for the inputs of products with some weights, by the weights' names.

    Products of less than `min_rows` rows are left out.
    """

    def __init__(self, weights: Mapping[str, Weight], min_rows: int) -> None:
        self.sums = {name: ColumnSums.zeros(weight.n_columns) for name, weight in weights.items()}
        self._names = {id(weight): name for name, weight in weights.items()}
        self._min_rows = min_rows
        # An id is a weight's own for as long as the weight is there.
        self._weights = weights

    def insert(self, nodes: Sequence[Node]) -> list[Node]:
        """The same operations with an `Observe` before each product with one of the weights."""
        result: list[Node] = []
        free_index = len(nodes)
        for node in nodes:
            if isinstance(node, Linear) and (name := self._names.get(id(node.weight))) is not None:
                result.append(Observe(Value(free_index, node.x.rows, 0), node.x, self.sums[name], self._min_rows))
                free_index += 1
            result.append(node)
        return result
