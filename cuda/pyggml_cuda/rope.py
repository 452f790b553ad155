"""Rotary position embedding."""

from dataclasses import dataclass

from pyggml_cuda.cache import ROWS, TABLE, CacheRows, PageTable
from pyggml_cuda.launch import FLOAT, INT, POINTER, KernelName, Launch, filled, structure

ANGLES_ARGUMENTS = structure(
    dict.fromkeys(("positions", "factors", "out"), POINTER)
    | {"n_pairs": INT}
    | dict.fromkeys(("theta_scale", "frequency_scale", "extrapolation", "amplitude", "first", "last"), FLOAT)
)
STORE_ARGUMENTS = structure(
    dict.fromkeys(("queries", "keys", "values", "angles"), POINTER)
    | {"key_rows": ROWS, "value_rows": ROWS, "table": TABLE}
    | dict.fromkeys(("n_heads", "n_kv_heads", "size", "value_size", "n_pairs", "halves"), INT)
    | dict.fromkeys(("rotation", "value_rotation"), INT)
)


@dataclass(frozen=True)
class Angles:
    """The parameters of the angles, as in `pyggml_kernels.rope.rope_angles`; `factors` is an address."""

    n_pairs: int
    factors: int
    theta_scale: float
    frequency_scale: float
    extrapolation: float
    amplitude: float
    first: float
    last: float


@dataclass(frozen=True)
class Heads:
    """Numbers and sizes of heads, and how pairs lie in them."""

    n_heads: int
    n_kv_heads: int
    size: int
    value_size: int
    n_pairs: int
    halves: bool
    rotation: int = 0
    """The length of the Hadamard rotation of queries and keys, 0 for none"""
    value_rotation: int = 0


def angles(parameters: Angles, positions: int, out: int, n_tokens: int) -> Launch:
    """Cosines and sines, (n_tokens, 2, n_pairs)."""
    values = vars(parameters) | {"positions": positions, "out": out}
    kernel = KernelName("rope.cu", "rope_angles")
    return Launch(kernel, (n_tokens, 1, 1), 64, (filled(ANGLES_ARGUMENTS, values),))


def turn_and_store(
    heads: Heads,
    queries: int,
    keys: int,
    values: int,
    angles: int,
    rows: tuple[CacheRows, CacheRows],
    table: PageTable,
    n_tokens: int,
) -> Launch:
    """Turn queries in place; turn keys and write them and the values into the cache's rows; rotate all, if asked."""
    key_rows, value_rows = rows
    fields = vars(heads) | {
        "queries": queries,
        "keys": keys,
        "values": values,
        "angles": angles,
        "key_rows": key_rows.fields(),
        "value_rows": value_rows.fields(),
        "table": table.fields(),
    }
    kernel = KernelName("rope.cu", f"turn_and_store<{key_rows.kind.expression}, {value_rows.kind.expression}>")
    grid = (heads.n_heads + 2 * heads.n_kv_heads, n_tokens, 1)
    return Launch(kernel, grid, 64, (filled(STORE_ARGUMENTS, fields),))
