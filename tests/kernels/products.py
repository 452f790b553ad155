"""Matrix products as the CPU backend runs them, in double precision, and as ggml's generic code does them."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from pyggml.backend.cpu.large_pages import TileMemory
from pyggml.backend.cpu.linear import linear_scratch_bytes, lower_linear
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.cpu.weights import CPUWeight, place_matrix
from pyggml.backend.graph import Value
from pyggml_kernels.formats import FloatFormat, Format, LevelFormat
from pyggml_kernels.threads import WorkerPool
from pyggml_reference.dot_products import dot_products
from pyggml_reference.quants import quantize_for_dot
from tests.kernels.block_kinds import ACTIVATION_KINDS, BLOCK_KINDS
from tests.kernels.calling import (
    MAX_RELATIVE_ERROR,
    Activation,
    Bytes,
    Doubles,
    Floats,
    address,
    guarded,
    normals,
    quantize_activation,
    round_activation,
)

SEEDS = st.integers(0, 2**32 - 1)
#: Columns of a float format come in no blocks; so many make up what is drawn as one.
FLOAT_BLOCK = 50
#: Terms whose sum stays below the largest float whatever their order.
_LARGEST_SUM = 2.0**125
#: What a column may add to the error where scales are subnormal: half their last bit, times a level's product.
_SMALLEST_ERROR = 2.0**-129


@dataclass(frozen=True, repr=False)
class Product:
    """One product: weights (n_rows, row_bytes), activations (n_tokens, n_columns) and perhaps a bias (n_rows,)."""

    form: Format
    weights: Bytes
    x: Floats
    bias: Floats | None = None

    def __repr__(self) -> str:
        return f"{self.form.name}, weights {self.weights.shape}, x {self.x.shape}, largest {np.abs(self.x).max()}"

    def operand(self, tokens: slice = slice(None)) -> Activation | Floats:
        """Some of the activations, in the form that the weights want."""
        if isinstance(self.form, LevelFormat):
            return quantize_activation(self.form, self.x[tokens])
        assert isinstance(self.form, FloatFormat)
        return round_activation(self.form, self.x[tokens])

    @cached_property
    def placed(self) -> CPUWeight:
        """The weights as the CPU backend keeps them."""
        data = self.weights.reshape(-1)
        return place_matrix(data, self.form, len(self.weights), self.x.shape[1], WorkerPool(1), TileMemory())

    def run(
        self, n_chunk_workers: int, operand: Activation | Floats | None = None, *, seed: int = 0, n_workers: int = 1
    ) -> Floats:
        """The result (n_tokens, n_rows), for all tokens or those of an operand, in chunks for so many workers."""
        operand = self.operand() if operand is None else operand
        n = len(operand.levels if isinstance(operand, Activation) else operand)
        packed = operand.packed() if isinstance(operand, Activation) else np.ascontiguousarray(operand).view(np.uint8)
        out = guarded((n, len(self.weights)))
        scratch_bytes = linear_scratch_bytes(self.placed)
        scratch = guarded((n_workers, scratch_bytes), np.uint8)
        memory = Memory(0, {0: address(packed), 1: out.address}, scratch.address, scratch_bytes)
        x, output = Value(0, "tokens", 0), Value(1, "tokens", 0)
        bias = 0 if self.bias is None else address(self.bias)
        operation = lower_linear(self.placed, bias, memory, x, output, n, n_chunk_workers)
        generator = np.random.default_rng(seed)
        for chunk in generator.permutation(operation.n_chunks):
            operation.kernel(operation.arguments.ctypes.data, int(chunk), int(generator.integers(n_workers)))
        for each in (out, scratch):
            each.assert_intact()
        return cast("Floats", out.array)

    @np.errstate(all="ignore")
    def exact(self) -> tuple[Doubles, Doubles]:
        """The result in double precision, and the root of the sum of squares of the terms of each of its elements.

        Where a scale is infinite, neither is a number.
        """
        shape = (len(self.weights), self.x.shape[1])
        w = self.form.dequantize(self.weights).reshape(shape).astype(np.float64)
        operand = self.operand()
        if not isinstance(operand, Activation):
            x = operand.astype(np.float64)
            result, squares = x @ w.T, x**2 @ (w**2).T
        else:
            assert isinstance(self.form, LevelFormat)
            result, squares = _exact_levels(self.form, self.weights, operand)
        if self.bias is not None:
            result, squares = result + self.bias, squares + self.bias.astype(np.float64) ** 2
        return result, np.sqrt(squares)

    def in_generic_order(self) -> Floats:
        """The result, without a bias, as ggml's generic code gives it, of blocks."""
        activations = np.stack([quantize_for_dot(self.form.type_id, row) for row in self.x])
        return dot_products(self.form.type_id, self.weights, activations)


def _exact_levels(form: LevelFormat, weights: Bytes, x: Activation) -> tuple[Doubles, Doubles]:
    """As `Product.exact`, from levels, scales, minimums and sums: where sums are rounded, x itself gives another."""
    n_rows, n_columns = len(weights), x.levels.shape[1]
    n_groups = n_columns // form.group_size
    levels = np.empty((n_rows, n_columns), np.int8)
    scales, minimums = np.empty((2, n_rows, n_groups), np.float32)
    form.decode(address(weights), weights.size // form.block_bytes, *map(address, (levels, scales, minimums)))
    dots = np.einsum(
        "rgi,tgi->trg",
        levels.reshape(n_rows, n_groups, -1).astype(np.float64),
        x.levels.reshape(-1, n_groups, form.group_size).astype(np.float64),
    )
    # Of a group: the scale of the block it is in, and what minimums are multiplied with.
    per_block = n_groups // x.scales.shape[1]
    x_scales = np.repeat(x.scales.astype(np.float64), per_block, axis=-1)
    x_shifts = x.shifts.astype(np.float64) if form.activation == "Q8_1" else x_scales * x.sums
    products = dots * scales.astype(np.float64) * x_scales[:, None]
    shifts = minimums.astype(np.float64) * x_shifts[:, None]
    return (products - shifts).sum(axis=-1), (products**2 + shifts**2).sum(axis=-1)


@st.composite
def products(draw: st.DrawFn, form: Format, *, any_kind: bool = False) -> Product:
    """Any product of up to 70 rows, 70 tokens and 20 blocks: of normal numbers, or of any kind."""
    generator = np.random.default_rng(draw(SEEDS))
    n_rows, n_tokens, n_blocks = draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.integers(1, 20))
    n_columns = n_blocks * form.block_size if form.block_size > 1 else draw(st.integers(1, n_blocks * FLOAT_BLOCK))
    blocks = draw(st.sampled_from(sorted(BLOCK_KINDS))) if any_kind else "normal"
    x_kind = draw(st.sampled_from(sorted(ACTIVATION_KINDS))) if any_kind else "normal"
    weights = BLOCK_KINDS[blocks](form, generator, n_rows, n_columns)
    x = ACTIVATION_KINDS[x_kind](form, generator, n_tokens, n_columns)
    bias = normals(generator, n_rows) if draw(st.booleans()) else None
    return Product(form, weights, x, bias)


def held_by_float32(product: Product) -> npt.NDArray[np.bool_]:
    """Which elements of the result are finite in float32 in whatever order their terms are summed up.

    Products of scales can overflow where the result does not: then ggml's is not finite either.
    """
    exact, terms = product.exact()
    held = np.isfinite(exact)
    held &= terms * np.sqrt(product.x.shape[1]) < _LARGEST_SUM
    if isinstance(product.form, LevelFormat):
        held &= np.isfinite(product.in_generic_order())
    return np.asarray(held)


def worst_relative_error(product: Product, found: Floats) -> float:
    """The largest relative error of a token's results (see `relative_error`), of those that float32 can hold.

    These have to be finite: a number beyond float32 is no excuse for one that is not.
    """
    held, n_columns = held_by_float32(product), product.x.shape[1]
    assert np.isfinite(found[held]).all(), "not finite, though float32 can hold it"
    result, exact, terms = (np.where(held, each, 0.0) for each in (found, *product.exact()))
    sizes = np.maximum(np.linalg.norm(exact, axis=-1), np.linalg.norm(terms, axis=-1))
    unavoidable = n_columns * _SMALLEST_ERROR * np.sqrt(found.shape[1]) / MAX_RELATIVE_ERROR
    return float((np.linalg.norm(result - exact, axis=-1) / np.maximum(sizes, unavoidable)).max())
