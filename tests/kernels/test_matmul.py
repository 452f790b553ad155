"""Matrix products against float64 on the same operands (level 2), against ggml (level 3), and against themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.formats import FORMATS, Format, LevelFormat
from pyggml_reference.operations import mul_mat
from tests.kernels.calling import (
    MAX_NMSE,
    MAX_RELATIVE_ERROR,
    Activation,
    normals,
    random_weights,
    relative_error,
)
from tests.kernels.comparing import assert_same_bits
from tests.kernels.products import SEEDS, Product, held_by_float32, products, worst_relative_error

every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=lambda each: each.name)
block_formats = pytest.mark.parametrize(
    "form", [each for each in FORMATS.values() if isinstance(each, LevelFormat)], ids=lambda each: each.name
)


@every_format
@settings(max_examples=12, deadline=None)
@given(data=st.data(), n_chunk_workers=st.integers(1, 20), n_workers=st.integers(1, 4), seed=SEEDS)
def test_a_product_is_the_one_in_double_precision(
    form: Format, data: st.DataObject, n_chunk_workers: int, n_workers: int, seed: int
) -> None:
    product = data.draw(products(form, any_kind=True))
    found = product.run(n_chunk_workers, seed=seed, n_workers=n_workers)
    assert worst_relative_error(product, found) <= MAX_RELATIVE_ERROR


@block_formats
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_a_product_is_the_one_in_the_order_of_the_generic_code(form: LevelFormat, data: st.DataObject) -> None:
    drawn = data.draw(products(form, any_kind=True))
    product = Product(form, drawn.weights, drawn.x)
    held = held_by_float32(product)
    found, expected, exact, terms = (
        np.where(held, each, np.float64(0)) for each in (product.run(16), product.in_generic_order(), *product.exact())
    )
    # Where a row has scales of very different sizes, the generic order's own rounding comes to 6e-6 now and then.
    own = relative_error(expected, exact, terms)
    assert relative_error(found, expected, terms) <= MAX_RELATIVE_ERROR + own


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
    product = data.draw(products(form, any_kind=True))
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
