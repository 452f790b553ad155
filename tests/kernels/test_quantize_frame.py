"""What `Format.quantize` does for every format: its checks, rows in chunks, workers, and the formats of floats."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pyggml_kernels.formats import BF16, F16, F32, Q6_K, Q8_0, FloatFormat, Format, LevelFormat
from pyggml_kernels.threads import WorkerPool
from pyggml_reference import quants

Floats = npt.NDArray[np.float32]

#: One with blocks and groups, one with blocks alone, one without either.
some_formats = pytest.mark.parametrize("some_format", [Q6_K, Q8_0, F16], ids=lambda each: each.name)
float_formats = pytest.mark.parametrize("float_format", [F32, F16, BF16], ids=lambda each: each.name)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    workers = WorkerPool(3)
    yield workers
    workers.close()


def normal(n_rows: int, n_columns: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns)).astype(np.float32)


# --- what is refused --------------------------------------------------------------------------------------------------


@some_formats
@pytest.mark.parametrize("shape", [(), (256,), (1, 1, 256)])
def test_weights_are_a_matrix(some_format: Format, shape: tuple[int, ...]) -> None:
    # The smallest array of NumPy's `ascontiguousarray` has one dimension.
    with pytest.raises(ValueError, match=rf"weights have {max(1, len(shape))} dimensions; a matrix .* is needed"):
        some_format.quantize(np.zeros(shape, np.float32))


@some_formats
@pytest.mark.parametrize("found", [np.nan, np.inf, -np.inf])
def test_weights_are_finite(some_format: Format, found: float) -> None:
    weights = normal(3, 512)
    weights[1, 300] = weights[2, 0] = found
    with pytest.raises(ValueError, match=rf"the weight in row 1, column 300 is {found}; only finite ones"):
        some_format.quantize(weights)


@some_formats
@pytest.mark.parametrize("shape", [(255,), (512,), (1, 256), (2, 256), ()])
def test_importance_has_a_number_for_each_column(some_format: Format, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"importance has shape \(.*\); there are 256 columns"):
        some_format.quantize(normal(2, 256), np.ones(shape, np.float32))


@pytest.mark.parametrize("n_columns", [1, 255, 257])
def test_a_row_is_a_whole_number_of_blocks(n_columns: int) -> None:
    with pytest.raises(ValueError, match=rf"a row of {n_columns} weights is no multiple of the 256 in a Q6_K block"):
        Q6_K.quantize(normal(2, n_columns))


def test_a_format_of_activations_has_no_quantizer() -> None:
    activations: LevelFormat = replace(Q6_K, name="Q0_A", quantizer=None)
    with pytest.raises(ValueError, match="weights cannot be quantized to Q0_A"):
        activations.quantize(normal(1, 256))


def test_a_format_can_need_importance() -> None:
    needy: LevelFormat = replace(Q6_K, name="Q0_N", needs_importance=True)
    with pytest.raises(ValueError, match="Q0_N needs an importance matrix"):
        needy.quantize(normal(1, 256))
    importance = np.ones(256, np.float32)
    weights = normal(1, 256)
    np.testing.assert_array_equal(needy.quantize(weights, importance), Q6_K.quantize(weights, importance))


# --- rows, chunks, workers --------------------------------------------------------------------------------------------


@some_formats
@settings(max_examples=20, deadline=None)
@given(n_rows=st.integers(0, 700), n_blocks=st.sampled_from([1, 2, 7, 40]), with_importance=st.booleans())
def test_any_number_of_rows_gives_the_bytes_of_ggml(
    some_format: Format, n_rows: int, n_blocks: int, with_importance: bool
) -> None:
    n_rows = min(n_rows, 1500 // n_blocks)
    weights = normal(n_rows, n_blocks * 256, n_rows)
    importance = np.random.default_rng(1).random(n_blocks * 256).astype(np.float32) if with_importance else None
    expected = quants.quantize(some_format.type_id, weights, importance)
    np.testing.assert_array_equal(some_format.quantize(weights, importance), expected)


@some_formats
@pytest.mark.parametrize("shape", [(1, 256), (300, 512), (3, 131072)])
def test_workers_give_the_same_bytes(some_format: Format, shape: tuple[int, int], pool: WorkerPool) -> None:
    weights, importance = normal(*shape), np.abs(normal(1, shape[1], 3))[0]
    for columns in (None, importance):
        alone = some_format.quantize(weights, columns)
        np.testing.assert_array_equal(some_format.quantize(weights, columns, pool), alone)


@some_formats
def test_rows_do_not_depend_on_each_other(some_format: Format) -> None:
    weights = normal(9, 512)
    together = some_format.quantize(weights)
    alone = [some_format.quantize(row[None])[0] for row in weights]
    np.testing.assert_array_equal(together, np.stack(alone))


@some_formats
def test_rows_without_columns_have_no_bytes(some_format: Format) -> None:
    assert some_format.quantize(np.zeros((3, 0), np.float32)).shape == (3, 0)


@some_formats
def test_weights_in_any_memory_order_and_type(some_format: Format) -> None:
    weights = normal(512, 256)
    expected = some_format.quantize(weights[::2])
    np.testing.assert_array_equal(some_format.quantize(np.asfortranarray(weights)[::2]), expected)
    np.testing.assert_array_equal(some_format.quantize(weights[::2].astype(np.float64)), expected)


@some_formats
def test_operands_are_left_as_they_are(some_format: Format) -> None:
    weights, importance = normal(4, 256), np.ones(256, np.float32)
    weights.flags.writeable = importance.flags.writeable = False
    before = weights.copy()
    some_format.quantize(weights, importance)
    np.testing.assert_array_equal(weights, before)


# --- one number a weight ----------------------------------------------------------------------------------------------


@float_formats
@settings(max_examples=60, deadline=None)
@given(
    weights=arrays.arrays(
        np.float32,
        st.tuples(st.integers(0, 5), st.integers(0, 70)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    with_importance=st.booleans(),
)
def test_floats_are_rounded_as_by_ggml_whatever_their_importance(
    float_format: FloatFormat, weights: Floats, with_importance: bool
) -> None:
    importance = np.zeros(weights.shape[1], np.float32) if with_importance else None
    found = float_format.quantize(weights, importance)
    assert found.shape == (len(weights), weights.shape[1] * float_format.block_bytes)
    if weights.size:
        np.testing.assert_array_equal(found, quants.quantize(float_format.type_id, weights))
