"""The operations of ggml that vision towers and multi-section rotary embedding need, as `operations` has the others."""

import ctypes
from typing import Literal

import numpy as np
import numpy.typing as npt

from pyggml_reference.library import OracleError, library
from pyggml_reference.operations import Floats, _check_dimensions, _Graph, _run
from pyggml_reference.structures import TensorType

SECTION_MODES = {"text": 8, "vision": 24}


def layer_norm(
    x: npt.ArrayLike, epsilon: float, weight: npt.ArrayLike, bias: npt.ArrayLike, n_threads: int = 1
) -> Floats:
    """Normalize rows (last axis) to mean 0 and variance 1, times `weight`, plus `bias`. Shape of `x`."""
    source, scale, shift = (np.asarray(array, np.float32) for array in (x, weight, bias))
    _check_dimensions(x=source)

    def build(graph: _Graph) -> int:
        normalized = library().ggml_norm(graph.context, graph.floats(source), epsilon)
        scaled = library().ggml_mul(graph.context, normalized, graph.floats(scale))
        return int(library().ggml_add(graph.context, scaled, graph.floats(shift)))

    return _run(build, (source, scale, shift), source.shape, n_threads)


def gelu(x: npt.ArrayLike, kind: Literal["tanh", "quick"], n_threads: int = 1) -> Floats:
    """The Gaussian error linear unit, as ggml's table of halves has it. Shape of `x`."""
    source = np.asarray(x, np.float32)
    _check_dimensions(x=source)
    function = library().ggml_gelu_quick if kind == "quick" else library().ggml_gelu
    return _run(lambda graph: int(function(graph.context, graph.floats(source))), (source,), source.shape, n_threads)


def section_rope(
    x: npt.ArrayLike,
    positions: npt.ArrayLike,
    sections: tuple[int, int, int, int],
    mode: Literal["text", "vision"],
    base: float,
    n_threads: int = 1,
) -> Floats:
    """Rotate heads `x` (n, n_head, size) by their positions (4, n), a section of pairs by each. Shape of `x`."""
    source, places = np.asarray(x, np.float32), np.ascontiguousarray(positions, np.int32)
    _check_dimensions(x=source, positions=places)
    n, _, size = source.shape
    if places.shape != (4, n):
        raise OracleError(f"positions must have shape (4, {n}), found {places.shape}")
    n_dims = size // 2 if mode == "vision" else size

    def build(graph: _Graph) -> int:
        lengths = (ctypes.c_int * 4)(*sections)
        return int(
            library().ggml_rope_multi(
                graph.context,
                graph.floats(source),
                graph.tensor(places.reshape(-1), TensorType.I32, (4 * n,)),
                None,
                n_dims,
                lengths,
                SECTION_MODES[mode],
                *(32768, base, 1.0, 0.0, 1.0, 32.0, 1.0),
            )
        )

    return _run(build, (source, places), source.shape, n_threads)
