"""Rows of activations from a source, in the form that a product wants."""

from dataclasses import dataclass

import numpy as np

from pyggml_cuda.formats import TILE_COLUMNS, Form, WideForm
from pyggml_cuda.launch import FLOAT, INT, POINTER, KernelName, Launch, blocks, filled, structure
from pyggml_cuda.matmul import Activation

SOURCE_ARGUMENTS = structure(
    dict.fromkeys(("first", "second", "positions"), POINTER)
    | {"n_columns": INT, "epsilon": FLOAT}
    | dict.fromkeys(("value_size", "n_splits", "split_size"), INT)
)
FORM_ARGUMENTS = structure(
    dict.fromkeys(("levels", "scales", "sums"), POINTER)
    | dict.fromkeys(("level_stride", "scale_stride", "sum_stride"), INT)
)


@dataclass(frozen=True)
class Source:
    """Where rows come from: see src/sources.cuh for what each kind reads."""

    kind: str
    """Plain, RMSNorm, SwiGLU or Splits"""
    n_columns: int
    first: int
    second: int = 0
    positions: int = 0
    epsilon: float = 0.0
    value_size: int = 0
    n_splits: int = 0
    split_size: int = 0


def merge_splits(source: Source, out: int, n_rows: int) -> Launch:
    """Write `n_rows` rows of the source `Splits` as floats; faster than `convert` where there are many splits."""
    values = {name: getattr(source, name) for name in SOURCE_ARGUMENTS.names or ()}
    arguments = filled(SOURCE_ARGUMENTS, values), np.asarray(POINTER(out))
    grid = (source.n_columns // source.value_size, n_rows, 1)
    return Launch(KernelName("merge.cu", "merge_splits"), grid, source.value_size, arguments)


def convert(source: Source, form: Form | WideForm, out: Activation, n_rows: int) -> Launch:
    """Write `n_rows` rows of a source in a form."""
    values = {name: getattr(source, name) for name in SOURCE_ARGUMENTS.names or ()}
    targets = {name: getattr(out, name) for name in FORM_ARGUMENTS.names or ()}
    kernel = KernelName("convert.cu", f"convert<{source.kind}, {form.expression}>")
    grid = (blocks(source.n_columns, 8 * TILE_COLUMNS), n_rows, 1)
    return Launch(kernel, grid, 256, (filled(SOURCE_ARGUMENTS, values), filled(FORM_ARGUMENTS, targets)))
