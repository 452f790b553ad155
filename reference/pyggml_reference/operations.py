"""Single operations of ggml on its CPU backend, NumPy arrays in and out.

Shapes are NumPy's, the reverse of ggml's: rows of tokens come first. Weights here are never repacked.
"""

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyggml_reference.library import OracleError, library
from pyggml_reference.quants import block_size, encode_cpu, row_size
from pyggml_reference.structures import MAX_DIMENSIONS, InitParams, Tensor, TensorType

Floats = npt.NDArray[np.float32]

ROPE_MODES = {"norm": 0, "neox": 2}
# Room for tensors, intermediate results and scratch; pages that are not touched cost nothing.
_WORK_BYTES = 64 << 20
_BYTES_PER_VALUE = 16


@dataclass(frozen=True)
class RopeParameters:
    """The scalar parameters of ggml_rope_ext; the defaults are plain rotary positions without scaling."""

    mode: Literal["norm", "neox"] = "neox"
    n_dims: int | None = None  # all of the head when None
    freq_base: float = 10000.0
    freq_scale: float = 1.0
    ext_factor: float = 0.0
    attn_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    n_ctx_original: int = 0


@dataclass(frozen=True)
class _Graph:
    """A ggml context with one graph; tensors live in its arena."""

    context: int

    def tensor(self, data: npt.NDArray[Any], type_id: int, shape: tuple[int, ...]) -> int:
        """Make a tensor of NumPy shape `shape` from the bytes of `data`."""
        ne = (ctypes.c_int64 * len(shape))(*reversed(shape))
        address: int = library().ggml_new_tensor(self.context, type_id, len(shape), ne)
        if library().ggml_nbytes(address) != data.nbytes:
            raise OracleError(f"{TensorType(type_id).name} of shape {shape} does not take {data.nbytes} bytes")
        ctypes.memmove(library().ggml_get_data(address), np.ascontiguousarray(data).ctypes.data, data.nbytes)
        return address

    def floats(self, data: npt.ArrayLike) -> int:
        """Make an F32 tensor."""
        array = np.ascontiguousarray(data, np.float32)
        return self.tensor(array, TensorType.F32, array.shape)

    def compute(self, result: int, n_threads: int) -> Floats:
        """Run the graph that ends in `result`, an F32 tensor."""
        graph = library().ggml_new_graph(self.context)
        library().ggml_build_forward_expand(graph, result)
        status = library().ggml_graph_compute_with_ctx(self.context, graph, n_threads)
        if status:
            raise OracleError(f"ggml_graph_compute failed with status {status}")
        shape = tuple(reversed(Tensor.from_address(result).ne))
        raw = ctypes.string_at(library().ggml_get_data(result), library().ggml_nbytes(result))
        return np.frombuffer(raw, np.float32).reshape(shape).copy()


@contextmanager
def _graph(n_bytes: int) -> Iterator[_Graph]:
    context = library().ggml_init(InitParams(n_bytes, None, False))
    try:
        yield _Graph(context)
    finally:
        library().ggml_free(context)


def _run(
    build: Callable[[_Graph], int], inputs: Sequence[npt.NDArray[Any] | None], shape: tuple[int, ...], n_threads: int
) -> Floats:
    n_values = math.prod(shape) + sum(array.size for array in inputs if array is not None)
    with _graph(_WORK_BYTES + _BYTES_PER_VALUE * n_values) as graph:
        return graph.compute(build(graph), n_threads).reshape(shape)


def _check_dimensions(**arrays: npt.NDArray[Any]) -> None:
    for name, array in arrays.items():
        if not 1 <= array.ndim <= MAX_DIMENSIONS or not array.size:
            raise OracleError(f"{name} must have 1 to {MAX_DIMENSIONS} axes and some elements, found {array.shape}")


def add(a: npt.ArrayLike, b: npt.ArrayLike, n_threads: int = 1) -> Floats:
    """Add `b` to `a`; `b` is repeated along axes on which it divides `a`, as biases are. Shape of `a`."""
    first, second = np.asarray(a, np.float32), np.asarray(b, np.float32)
    _check_dimensions(a=first, b=second)
    padded = (1,) * (first.ndim - second.ndim) + second.shape
    if len(padded) != first.ndim or any(x % y for x, y in zip(first.shape, padded, strict=True)):
        raise OracleError(f"b of shape {second.shape} cannot be repeated to {first.shape}")
    return _run(
        lambda graph: library().ggml_add(graph.context, graph.floats(first), graph.floats(second)),
        (first, second),
        first.shape,
        n_threads,
    )


def rms_norm(x: npt.ArrayLike, epsilon: float, weight: npt.ArrayLike | None = None, n_threads: int = 1) -> Floats:
    """Divide rows (last axis) by their root mean square, then multiply by `weight` if given. Shape of `x`."""
    source = np.asarray(x, np.float32)
    _check_dimensions(x=source)
    scale = None if weight is None else np.asarray(weight, np.float32)
    if scale is not None and scale.shape != source.shape[-1:]:
        raise OracleError(f"weight must have shape {source.shape[-1:]}, found {scale.shape}")

    def build(graph: _Graph) -> int:
        result: int = library().ggml_rms_norm(graph.context, graph.floats(source), epsilon)
        return result if scale is None else library().ggml_mul(graph.context, result, graph.floats(scale))

    return _run(build, (source, scale), source.shape, n_threads)


def swiglu(gate: npt.ArrayLike, up: npt.ArrayLike, n_threads: int = 1) -> Floats:
    """Compute silu(gate) * up. Shape of both."""
    first, second = np.asarray(gate, np.float32), np.asarray(up, np.float32)
    _check_dimensions(gate=first, up=second)
    if first.shape != second.shape:
        raise OracleError(f"gate and up must have one shape, found {first.shape} and {second.shape}")
    return _run(
        lambda graph: library().ggml_swiglu_split(graph.context, graph.floats(first), graph.floats(second)),
        (first, second),
        first.shape,
        n_threads,
    )


def _weights(type_id: int, weights: npt.ArrayLike, n_columns: int) -> npt.NDArray[np.uint8]:
    data = np.ascontiguousarray(np.asarray(weights)).view(np.uint8)
    if data.ndim != 2 or data.shape[1] != row_size(type_id, n_columns):
        raise OracleError(
            f"weights must be (rows, {row_size(type_id, n_columns)} bytes) for {n_columns} columns of "
            f"{TensorType(type_id).name}, found {data.shape}"
        )
    return data


def mul_mat(type_id: int, weights: npt.ArrayLike, x: npt.ArrayLike, n_threads: int = 1) -> Floats:
    """Multiply rows of `x` (n, columns) with encoded rows of weights (rows, bytes). Shape (n, rows)."""
    source = np.asarray(x, np.float32)
    _check_dimensions(x=source)
    n, n_columns = source.shape
    data = _weights(type_id, weights, n_columns)

    def build(graph: _Graph) -> int:
        matrix = graph.tensor(data, type_id, (len(data), n_columns))
        return int(library().ggml_mul_mat(graph.context, matrix, graph.floats(source)))

    return _run(build, (data, source), (n, len(data)), n_threads)


def get_rows(type_id: int, weights: npt.ArrayLike, rows: npt.ArrayLike, n_columns: int, n_threads: int = 1) -> Floats:
    """Decode some rows (n,) of a table of encoded rows (rows, bytes). Shape (n, n_columns)."""
    data = _weights(type_id, weights, n_columns)
    indices = np.ascontiguousarray(rows, np.int32)
    _check_dimensions(rows=indices)
    if indices.ndim != 1 or indices.min() < 0 or indices.max() >= len(data):
        raise OracleError(f"rows must be a vector of indices below {len(data)}")

    def build(graph: _Graph) -> int:
        table = graph.tensor(data, type_id, (len(data), n_columns))
        return int(library().ggml_get_rows(graph.context, table, graph.tensor(indices, TensorType.I32, indices.shape)))

    return _run(build, (data, indices), (indices.size, n_columns), n_threads)


def rope(
    x: npt.ArrayLike,
    positions: npt.ArrayLike,
    parameters: RopeParameters,
    freq_factors: npt.ArrayLike | None = None,
    n_threads: int = 1,
) -> Floats:
    """Rotate heads `x` (n, n_head, size) by their positions (n,), by ggml_rope_ext. Shape of `x`.

    `freq_factors` (at least n_dims / 2,) divide the frequencies one by one.
    """
    source = np.asarray(x, np.float32)
    places = np.ascontiguousarray(positions, np.int32)
    _check_dimensions(x=source, positions=places)
    n_dims = source.shape[-1] if parameters.n_dims is None else parameters.n_dims
    if source.ndim != 3 or places.shape != source.shape[:1] or n_dims > source.shape[-1] or n_dims % 2:
        raise OracleError(f"rope of {n_dims} dimensions cannot take x {source.shape} and positions {places.shape}")
    factors = None if freq_factors is None else np.asarray(freq_factors, np.float32)
    if factors is not None and (factors.ndim != 1 or factors.size < n_dims // 2):
        raise OracleError(f"freq_factors must hold at least {n_dims // 2} values, found shape {factors.shape}")

    def build(graph: _Graph) -> int:
        p = parameters
        return int(
            library().ggml_rope_ext(
                graph.context,
                graph.floats(source),
                graph.tensor(places, TensorType.I32, places.shape),
                None if factors is None else graph.floats(factors),
                n_dims,
                ROPE_MODES[p.mode],
                p.n_ctx_original,
                p.freq_base,
                p.freq_scale,
                p.ext_factor,
                p.attn_factor,
                p.beta_fast,
                p.beta_slow,
            )
        )

    return _run(build, (source, places, factors), source.shape, n_threads)


def soft_max(
    x: npt.ArrayLike, mask: npt.ArrayLike | None = None, scale: float = 1.0, max_bias: float = 0.0, n_threads: int = 1
) -> Floats:
    """Compute softmax(x * scale + mask) over the last axis, by ggml_soft_max_ext. Shape of `x`.

    `x` is (n_head, n, n_kv) or (n, n_kv), `mask` (n, n_kv). A positive `max_bias` turns ALiBi on and needs a mask.
    """
    source = np.asarray(x, np.float32)
    _check_dimensions(x=source)
    added = None if mask is None else np.asarray(mask, np.float32)
    if added is not None and added.shape != source.shape[-2:]:
        raise OracleError(f"mask must have shape {source.shape[-2:]}, found {added.shape}")
    if added is None and max_bias > 0:
        raise OracleError("max_bias needs a mask")

    def build(graph: _Graph) -> int:
        second = None if added is None else graph.floats(added)
        return int(library().ggml_soft_max_ext(graph.context, graph.floats(source), second, scale, max_bias))

    return _run(build, (source, added), source.shape, n_threads)


@dataclass(frozen=True)
class AttentionParameters:
    """The scalar parameters of ggml_flash_attn_ext, and the types of the cache."""

    scale: float
    type_k: int = TensorType.F16
    type_v: int = TensorType.F16
    max_bias: float = 0.0
    logit_softcap: float = 0.0


def flash_attention(
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    mask: npt.ArrayLike | None,
    parameters: AttentionParameters,
    n_threads: int = 1,
) -> Floats:
    """Attend from `q` (n, n_head, size) to `k` (n_kv, n_head_kv, size), `v` (n_kv, n_head_kv, size of v).

    Keys and values are given as F32 and encoded as a cache of `type_k` and `type_v` would be; `mask` (n, n_kv) is
    added to the scores, in F16 as ggml demands. Shape (n, n_head, size of v).
    """
    queries, keys, values = (np.asarray(array, np.float32) for array in (q, k, v))
    _check_dimensions(q=queries, k=keys, v=values)
    n, n_head, size = queries.shape
    n_kv, n_head_kv, size_k = keys.shape
    if size_k != size or values.shape[:2] != (n_kv, n_head_kv) or n_head % n_head_kv:
        raise OracleError(f"q {queries.shape}, k {keys.shape} and v {values.shape} do not fit each other")
    added = None if mask is None else np.asarray(mask, np.float32).astype(np.float16)
    if added is not None and added.shape != (n, n_kv):
        raise OracleError(f"mask must have shape ({n}, {n_kv}), found {added.shape}")
    p = parameters

    def heads_first(graph: _Graph, array: Floats, type_id: int) -> int:
        moved = np.ascontiguousarray(array.transpose(1, 0, 2))
        if moved.shape[-1] % block_size(type_id):
            raise OracleError(f"heads of {moved.shape[-1]} do not divide into blocks of {TensorType(type_id).name}")
        return graph.tensor(encode_cpu(type_id, moved.reshape(-1, moved.shape[-1])), type_id, moved.shape)

    def build(graph: _Graph) -> int:
        return int(
            library().ggml_flash_attn_ext(
                graph.context,
                heads_first(graph, queries, TensorType.F32),
                heads_first(graph, keys, p.type_k),
                heads_first(graph, values, p.type_v),
                None if added is None else graph.tensor(added, TensorType.F16, added.shape),
                p.scale,
                p.max_bias,
                p.logit_softcap,
            )
        )

    return _run(build, (queries, keys, values, added), (n, n_head, values.shape[-1]), n_threads)
