"""Matrix products against float64 on the same operands (level 2), against ggml (level 3), and against themselves."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu.linear import linear_scratch_bytes, lower_linear
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.cpu.weights import CPUWeight, place_matrix
from pyggml.backend.graph import Value
from pyggml_kernels.formats import FORMATS, FloatFormat, Format, LevelFormat
from pyggml_kernels.threads import WorkerPool
from pyggml_reference.operations import mul_mat
from tests.kernels.calling import (
    MAX_NMSE,
    MAX_RELATIVE_ERROR,
    Activation,
    Bytes,
    Doubles,
    Floats,
    address,
    guarded,
    normals,
    quantize_activation,
    random_weights,
    relative_error,
    round_activation,
)
from tests.kernels.comparing import assert_same_bits

every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=lambda each: each.name)
SEEDS = st.integers(0, 2**32 - 1)
#: Columns of a float format come in no blocks; so many make up what is drawn as one.
_FLOAT_BLOCK = 50


@dataclass(frozen=True)
class Product:
    """One product: weights (n_rows, row_bytes), activations (n_tokens, n_columns) and perhaps a bias (n_rows,)."""

    form: Format
    weights: Bytes
    x: Floats
    bias: Floats | None = None

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
        return place_matrix(data, self.form, len(self.weights), self.x.shape[1], WorkerPool(1))

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

    def exact(self) -> tuple[Doubles, Doubles]:
        """The result in double precision, and the root of the sum of squares of the terms of each of its elements."""
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
def products(draw: st.DrawFn, form: Format) -> Product:
    """Any product of up to 70 rows, 70 tokens and 20 blocks."""
    generator = np.random.default_rng(draw(SEEDS))
    n_rows, n_tokens, n_blocks = draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.integers(1, 20))
    n_columns = n_blocks * form.block_size if form.block_size > 1 else draw(st.integers(1, n_blocks * _FLOAT_BLOCK))
    weights = random_weights(form, generator, n_rows, n_columns)
    bias = normals(generator, n_rows) if draw(st.booleans()) else None
    return Product(form, weights, normals(generator, n_tokens, n_columns), bias)


@every_format
@settings(max_examples=12, deadline=None)
@given(data=st.data(), n_chunk_workers=st.integers(1, 20), n_workers=st.integers(1, 4), seed=SEEDS)
def test_a_product_is_the_one_in_double_precision(
    form: Format, data: st.DataObject, n_chunk_workers: int, n_workers: int, seed: int
) -> None:
    product = data.draw(products(form))
    found = product.run(n_chunk_workers, seed=seed, n_workers=n_workers)
    assert relative_error(found, *product.exact()) <= MAX_RELATIVE_ERROR


@every_format
@settings(max_examples=6, deadline=None)
@given(data=st.data(), n_threads=st.integers(1, 2))
def test_a_product_is_that_of_ggml(form: Format, data: st.DataObject, n_threads: int) -> None:
    product = data.draw(products(form))
    expected = mul_mat(form.type_id, product.weights, product.x, n_threads).astype(np.float64)
    if product.bias is not None:
        expected += product.bias
    assert relative_error(product.run(16), expected, product.exact()[1]) ** 2 <= MAX_NMSE


@every_format
@settings(max_examples=8, deadline=None)
@given(data=st.data(), n_chunk_workers=st.integers(1, 20), seed=SEEDS)
def test_a_token_has_the_same_bits_in_every_batch_and_chunk(
    form: Format, data: st.DataObject, n_chunk_workers: int, seed: int
) -> None:
    product = data.draw(products(form))
    whole = product.run(16)
    first = data.draw(st.integers(0, len(product.x) - 1))
    last = data.draw(st.integers(first, len(product.x) - 1))
    part = product.run(n_chunk_workers, product.operand(slice(first, last + 1)), seed=seed, n_workers=3)
    assert_same_bits(part, whole[first : last + 1])


@every_format
def test_zeros_give_the_bias(form: Format) -> None:
    generator = np.random.default_rng(2)
    bias = normals(generator, 5)
    zeros = np.zeros((2, 256), np.float32)
    found = Product(form, random_weights(form, generator, 5, 256), zeros, bias).run(3)
    np.testing.assert_array_equal(found, [bias, bias])


@every_format
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_shows_in_the_results_of_its_token_alone(form: Format, bad: float) -> None:
    generator = np.random.default_rng(3)
    product = Product(form, random_weights(form, generator, 20, 512), normals(generator, 3, 512))
    good, operand = product.run(7), product.operand()
    if isinstance(operand, Activation):
        operand.scales[1, 0] = bad
    else:
        operand = operand.copy()
        operand[1, 300] = bad
    found = product.run(7, operand)
    assert not np.isfinite(found[1]).any()
    assert_same_bits(found[::2], good[::2])
