"""From an observation to the call of its kernel."""

from pyggml.backend.cpu.arguments import arguments
from pyggml.backend.observation import Observe
from pyggml_kernels import column_sums
from pyggml_kernels.plan import Operation

#: Columns in a chunk: a few cache lines of each row.
_COLUMNS_PER_CHUNK = 64


def lower_observation(node: Observe, x: int, n_rows: int) -> list[Operation]:
    """The call for `n_rows` rows at the address `x`, none for too few; the node keeps the sums alive."""
    if n_rows < node.min_rows:
        return []
    n_columns, sums = node.x.n_columns, node.sums
    integers = {
        0: x,
        1: n_rows,
        2: n_columns,
        3: sums.values.ctypes.data,
        4: sums.squares.ctypes.data,
        5: sums.count.ctypes.data,
        6: _COLUMNS_PER_CHUNK,
    }
    words = arguments(column_sums.N_ARGUMENTS, integers)
    return [Operation(column_sums.add_columns, words, -(-n_columns // _COLUMNS_PER_CHUNK))]
