"""Quantization to the K formats against ggml's, byte for byte (level 0 of the numerics contract)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.formats import Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, LevelFormat
from pyggml_reference import quants
from tests.kernels.calling import address, call
from tests.kernels.comparing import Guarded
from tests.kernels.difficult_weights import IMPORTANCE_KINDS, KINDS, difficult_importance, difficult_weights

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

every_k_format = pytest.mark.parametrize("k_format", [Q2_K, Q3_K, Q4_K, Q5_K, Q6_K], ids=lambda each: each.name)


def assert_same_blocks(k_format: LevelFormat, found: Bytes, expected: Bytes) -> None:
    assert found.shape == expected.shape
    different = np.argwhere(found != expected)
    if different.size == 0:
        return
    row, place = different[0]
    block = place // k_format.block_bytes
    ours, theirs = (each[row].view(k_format.layout)[block] for each in (found, expected))
    raise AssertionError(f"{len(different)} bytes differ, first in row {row}, block {block}: {ours}, not {theirs}")


@every_k_format
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_byte_is_that_of_ggml(k_format: LevelFormat, data: st.DataObject) -> None:
    weights = data.draw(difficult_weights())
    importance = data.draw(difficult_importance(weights.shape[1]))
    expected = quants.quantize(k_format.type_id, weights, importance)
    assert_same_blocks(k_format, k_format.quantize(weights, importance), expected)


@every_k_format
@pytest.mark.parametrize("importance_kind", [None, *IMPORTANCE_KINDS])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_weights_with_every_kind_of_importance(
    k_format: LevelFormat, kind: str, importance_kind: str | None
) -> None:
    generator = np.random.default_rng(5)
    # A kind draws its scale once, so each row is drawn alone.
    weights = np.stack([KINDS[kind](generator, (512,)) for _ in range(32)]).astype(np.float32)
    importance = None
    if importance_kind is not None:
        importance = IMPORTANCE_KINDS[importance_kind](generator, (512,)).astype(np.float32)
    expected = quants.quantize(k_format.type_id, weights, importance)
    assert_same_blocks(k_format, k_format.quantize(weights, importance), expected)


@every_k_format
@pytest.mark.parametrize("with_importance", [False, True])
def test_a_million_weights(k_format: LevelFormat, with_importance: bool) -> None:
    generator = np.random.default_rng(6)
    weights = (generator.standard_normal((256, 4096)) * 0.02).astype(np.float32)
    importance = generator.gamma(0.5, size=4096).astype(np.float32) if with_importance else None
    expected = quants.quantize(k_format.type_id, weights, importance)
    assert_same_blocks(k_format, k_format.quantize(weights, importance), expected)


@every_k_format
def test_scales_below_zero(k_format: LevelFormat) -> None:
    """Where few columns count, a fit can turn a scale negative: some fifteen blocks here, which Q4_K then garbles."""
    generator = np.random.default_rng(9)
    weights = KINDS["normal of many scales"](generator, (4096, 256)).astype(np.float32)
    importance = (generator.random(256) * (generator.random(256) < 0.2)).astype(np.float32)
    expected = quants.quantize(k_format.type_id, weights, importance)
    assert_same_blocks(k_format, k_format.quantize(weights, importance), expected)


@every_k_format
@pytest.mark.parametrize("with_importance", [False, True])
def test_the_rows_of_a_chunk_are_written_and_nothing_else(k_format: LevelFormat, with_importance: bool) -> None:
    generator = np.random.default_rng(7)
    weights = generator.standard_normal((7, 512)).astype(np.float32)
    importance = generator.random(512).astype(np.float32) if with_importance else None
    expected = quants.quantize(k_format.type_id, weights, importance)
    out = Guarded(expected.shape, np.uint8)
    words: dict[int, Any] = dict(enumerate([address(weights), 7, 512, out.address, expected.shape[1]]))
    words |= {5: 0 if importance is None else address(importance), 6: 3}
    assert k_format.quantizer is not None
    call(k_format.quantizer, words, 3)
    out.assert_intact()
    np.testing.assert_array_equal(out.array, expected)


@every_k_format
def test_a_chunk_behind_the_last_row_writes_nothing(k_format: LevelFormat) -> None:
    weights = np.ones((2, 256), np.float32)
    out = Guarded((2, k_format.row_bytes(256)), np.uint8)
    words = {0: address(weights), 1: 2, 2: 256, 3: out.address, 4: k_format.row_bytes(256), 6: 2}
    assert k_format.quantizer is not None
    call(k_format.quantizer, {**words, 1: 0}, 1)
    out.assert_untouched()


@every_k_format
@pytest.mark.parametrize("with_importance", [False, True])
def test_what_was_quantized_is_quantized_to_nearly_itself(k_format: LevelFormat, with_importance: bool) -> None:
    """No oracle: the mean squared error stays below the square of a level's width at each format's number of bits."""
    generator = np.random.default_rng(8)
    weights = generator.standard_normal((8, 1024)).astype(np.float32)
    importance = np.ones(1024, np.float32) if with_importance else None
    back = k_format.dequantize(k_format.quantize(weights, importance)).reshape(weights.shape)
    bits = int(k_format.name[1])
    # About +-2.2 standard deviations, in 2**bits levels.
    assert float(((back - weights) ** 2).mean()) < (4.4 / 2**bits) ** 2 / 6
