"""Matrix products against float64 on the same operands (level 2), against ggml (level 3), and against themselves."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels import matmul
from pyggml_kernels.formats import FORMATS, FloatFormat, Format, LevelFormat
from pyggml_reference.operations import mul_mat
from tests.kernels.calling import (
    MAX_NMSE,
    MAX_RELATIVE_ERROR,
    Activation,
    Bytes,
    Doubles,
    Floats,
    address,
    call,
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

    def run(
        self, rows_per_chunk: int, operand: Activation | Floats | None = None, *, seed: int = 0, n_workers: int = 1
    ) -> Floats:
        """The result (n_tokens, n_rows), in columns of a wider array, for all tokens or those of an operand."""
        n_rows, n_columns = len(self.weights), self.x.shape[1]
        operand = self.operand() if operand is None else operand
        n = len(operand.levels if isinstance(operand, Activation) else operand)
        wide = guarded((n, n_rows + 3))
        words = {
            0: address(self.weights),
            1: self.weights.shape[1],
            2: n_rows,
            3: n_columns,
            5: n,
            6: wide.address,
            7: n_rows + 3,
            8: 0 if self.bias is None else address(self.bias),
            9: rows_per_chunk,
        }
        if isinstance(operand, Activation):
            assert isinstance(self.form, LevelFormat)
            scratch_bytes = matmul.scratch_bytes_levels(n_columns, self.form.group_size)
            words |= {4: self.form.decode.address, 12: address(operand.levels), 13: address(operand.scales)}
            words |= {14: address(operand.sums), 15: self.form.block_size, 16: self.form.group_size}
            words |= {17: int(self.form.has_minimum)}
            kernel = matmul.matmul_levels
        else:
            assert isinstance(self.form, FloatFormat)
            scratch_bytes = matmul.scratch_bytes_floats(n_columns)
            words |= {4: self.form.load.address, 12: address(operand)}
            kernel = matmul.matmul_floats
        scratch = guarded((n_workers, scratch_bytes), np.uint8)
        words |= {10: scratch.address, 11: scratch_bytes}
        call(kernel, words, -(-n_rows // rows_per_chunk), seed=seed, n_workers=n_workers)
        for each in (wide, scratch):
            each.assert_intact()
        assert (wide.array[:, n_rows:].view(np.uint32) == 0xFFFFFFFF).all(), "written beside the output"
        return np.ascontiguousarray(wide.array[:, :n_rows])

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
    products = dots * scales.astype(np.float64) * x.scales[:, None].astype(np.float64)
    shifts = minimums.astype(np.float64) * x.sums[:, None].astype(np.float64)
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
@given(data=st.data(), rows_per_chunk=st.integers(1, 20), n_workers=st.integers(1, 4), seed=SEEDS)
def test_a_product_is_the_one_in_double_precision(
    form: Format, data: st.DataObject, rows_per_chunk: int, n_workers: int, seed: int
) -> None:
    product = data.draw(products(form))
    found = product.run(rows_per_chunk, seed=seed, n_workers=n_workers)
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
@given(data=st.data(), rows_per_chunk=st.integers(1, 20), seed=SEEDS)
def test_a_token_has_the_same_bits_in_every_batch_and_chunk(
    form: Format, data: st.DataObject, rows_per_chunk: int, seed: int
) -> None:
    product = data.draw(products(form))
    whole = product.run(16)
    first = data.draw(st.integers(0, len(product.x) - 1))
    last = data.draw(st.integers(first, len(product.x) - 1))
    part = product.run(rows_per_chunk, product.operand(slice(first, last + 1)), seed=seed, n_workers=3)
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
        operand.scales[1, 3] = bad
    else:
        operand = operand.copy()
        operand[1, 300] = bad
    found = product.run(7, operand)
    assert not np.isfinite(found[1]).any()
    assert_same_bits(found[::2], good[::2])
