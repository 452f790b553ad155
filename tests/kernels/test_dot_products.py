"""Products in the order of ggml's generic C code: every bit that of `ggml_vec_dot_*_generic` (level 1)."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.formats import FORMATS, Format, LevelFormat
from pyggml_reference.dot_products import BLOCK_TYPES, dot_products
from pyggml_reference.fused import fused
from pyggml_reference.library import OracleError
from pyggml_reference.quants import quantize_for_dot, vec_dot_generic
from pyggml_reference.structures import TensorType
from tests.kernels.block_kinds import ACTIVATION_KINDS, BLOCK_KINDS
from tests.kernels.calling import Bytes, Floats
from tests.kernels.comparing import assert_same_bits

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
block_formats = pytest.mark.parametrize(
    "form", [each for each in FORMATS.values() if isinstance(each, LevelFormat)], ids=lambda each: each.name
)


def generic(form: Format, weights: Bytes, activations: Bytes, n: int) -> Floats:
    """By ggml, row by row and token by token."""
    rows = [[vec_dot_generic(form.type_id, row, x, n) for row in weights] for x in activations]
    return np.array(rows, np.float32)


@block_formats
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_blocks=st.integers(1, 20),
    blocks=st.sampled_from(sorted(BLOCK_KINDS)),
    x_kind=st.sampled_from(sorted(ACTIVATION_KINDS)),
)
def test_every_bit_is_that_of_the_generic_code(
    form: LevelFormat, seed: int, n_blocks: int, blocks: str, x_kind: str
) -> None:
    generator = np.random.default_rng(seed)
    n = n_blocks * form.block_size
    weights = BLOCK_KINDS[blocks](form, generator, 4, n)
    rows = ACTIVATION_KINDS[x_kind](form, generator, 3, n)
    activations = np.stack([quantize_for_dot(form.type_id, row) for row in rows])
    assert_same_bits(dot_products(form.type_id, weights, activations), generic(form, weights, activations, n))


def test_all_block_formats_are_there() -> None:
    assert sorted(BLOCK_TYPES) == sorted(each.type_id for each in FORMATS.values() if isinstance(each, LevelFormat))


def test_types_without_blocks_are_refused() -> None:
    with pytest.raises(OracleError, match="F16 has no dot product of blocks"):
        dot_products(TensorType.F16, np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.uint8))


@settings(max_examples=300, deadline=None)
@given(left=FINITE, right=FINITE, addend=FINITE, near=st.booleans(), distance=st.integers(-60, 60))
def test_a_fused_multiply_add_rounds_once(left: float, right: float, addend: float, near: bool, distance: int) -> None:
    a, b = np.float32(left), np.float32(right)
    with np.errstate(all="ignore"):
        # What is added next to half a unit in the last place of the product is what rounding twice gets wrong.
        c = np.float32(np.ldexp(np.float64(a) * np.float64(b), distance)) if near else np.float32(addend)
        found = fused(*(np.array([each]) for each in (a, b, c)))[0]
    if not np.isfinite(c):
        return
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    largest = Fraction(float(np.finfo(np.float32).max))
    if abs(exact) > largest:
        assert abs(found) >= largest
        return
    error = abs(exact - Fraction(float(found)))
    with np.errstate(over="ignore", under="ignore"):
        neighbours = [np.nextafter(found, np.float32(direction)) for direction in (-np.inf, np.inf)]
    for neighbour in neighbours:
        if np.isfinite(neighbour):
            other = abs(exact - Fraction(float(neighbour)))
            assert error < other or (error == other and found.view(np.uint32) % 2 == 0)
