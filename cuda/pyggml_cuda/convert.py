"""Rows of activations from a source, in the form that a product wants."""

from dataclasses import dataclass

from pyggml_cuda.formats import TILE_COLUMNS, Form, WideForm
from pyggml_cuda.launch import FLOAT, INT, POINTER, KernelName, Launch, blocks, filled, structure
from pyggml_cuda.matmul import Activation

SOURCE_ARGUMENTS = structure(
    dict.fromkeys(("first", "second", "third", "positions"), POINTER)
    | {"n_columns": INT, "epsilon": FLOAT}
    | dict.fromkeys(("value_size", "n_splits", "split_size", "rotation"), INT)
)
FORM_ARGUMENTS = structure(
    dict.fromkeys(("levels", "scales", "sums"), POINTER)
    | dict.fromkeys(("level_stride", "scale_stride", "sum_stride"), INT)
)

#: Splits that every thread goes through by itself.
_FEW_SPLITS = 8


@dataclass(frozen=True)
class Source:
    """Where rows come from: see src/sources.cuh for what each kind reads."""

    kind: str
    """Plain, RMSNorm, LayerNorm, SwiGLU, GELU<false>, GELU<true> (the quick one) or Splits"""
    n_columns: int
    first: int
    second: int = 0
    positions: int = 0
    epsilon: float = 0.0
    value_size: int = 0
    n_splits: int = 0
    split_size: int = 0
    rotation: int = 0
    third: int = 0


def convert(source: Source, form: Form | WideForm, out: Activation, n_rows: int) -> Launch:
    """Write `n_rows` rows of a source in a form."""
    merges = source.kind == "Splits" and (source.n_splits > _FEW_SPLITS or source.rotation > 0)
    return (merge if merges else convert_at_once)(source, form, out, n_rows)


def convert_at_once(source: Source, form: Form | WideForm, out: Activation, n_rows: int) -> Launch:
    """By the kernel that takes all sources, but for splits that are rotated."""
    name, columns = f"convert<{source.kind}, {form.expression}>", 8 * TILE_COLUMNS
    return _launch(KernelName("convert.cu", name), source, form, out, (blocks(source.n_columns, columns), n_rows, 1))


def merge(source: Source, form: Form | WideForm, out: Activation, n_rows: int) -> Launch:
    """By the kernel for many splits; the numbers are the same."""
    kernel = KernelName("merge.cu", f"merge<{form.expression}>")
    return _launch(kernel, source, form, out, (blocks(source.n_columns, TILE_COLUMNS), n_rows, 1))


def _launch(
    kernel: KernelName, source: Source, form: Form | WideForm, out: Activation, grid: tuple[int, int, int]
) -> Launch:
    values = {name: getattr(source, name) for name in SOURCE_ARGUMENTS.names or ()}
    targets = {name: getattr(out, name) for name in FORM_ARGUMENTS.names or ()}
    return Launch(kernel, grid, 256, (filled(SOURCE_ARGUMENTS, values), filled(FORM_ARGUMENTS, targets)))
