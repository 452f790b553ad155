"""The formats that only activations have: their blocks decoded as ggml does (Q8_K) or would (Q8_1)."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.formats import Q8_1, Q8_K, LevelFormat
from pyggml_reference import quants
from tests.kernels.calling import address, normals
from tests.kernels.comparing import Guarded, assert_same_bits

SEEDS = st.integers(0, 2**32 - 1)


def expected(form: LevelFormat, blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    if form is Q8_K:
        return quants.dequantize(Q8_K.type_id, blocks, blocks.size // Q8_K.block_bytes * Q8_K.block_size)
    # ggml has no function for Q8_1: its products read the blocks themselves, with this meaning.
    structured = blocks.view(form.layout)
    return (structured["d"].astype(np.float32)[:, None] * structured["qs"].astype(np.float32)).reshape(-1)


@pytest.mark.parametrize("form", [Q8_1, Q8_K], ids=lambda each: each.name)
@settings(max_examples=60, deadline=None)
@given(n_blocks=st.integers(0, 70), seed=SEEDS, misalignment=st.integers(0, 7))
def test_any_blocks_are_decoded_and_nothing_else_is_written(
    form: LevelFormat, n_blocks: int, seed: int, misalignment: int
) -> None:
    source = np.random.default_rng(seed).integers(0, 256, n_blocks * form.block_bytes + misalignment, np.uint8)
    blocks = source[misalignment:]
    n_groups = n_blocks * form.block_size // form.group_size
    levels = Guarded((n_groups, form.group_size), np.int8)
    scales, minimums = Guarded((n_groups, 1), np.float32), Guarded((n_groups, 1), np.float32)
    form.decode(address(blocks), n_blocks, levels.address, scales.address, minimums.address)
    for each in (levels, scales, minimums):
        each.assert_intact()
    assert (minimums.array.view(np.uint32) == 0).all()
    if not n_blocks:
        return
    with np.errstate(all="ignore"):
        wanted = expected(form, blocks.copy())
        assert_same_bits((scales.array * levels.array.astype(np.float32)).reshape(-1), wanted)
    assert_same_bits(form.dequantize(blocks), wanted)


@pytest.mark.parametrize("form", [Q8_1, Q8_K], ids=lambda each: each.name)
@settings(max_examples=30, deadline=None)
@given(n_blocks=st.integers(1, 20), seed=SEEDS)
def test_what_ggml_encodes_comes_back_nearly(form: LevelFormat, n_blocks: int, seed: int) -> None:
    x = normals(np.random.default_rng(seed), n_blocks, form.block_size)
    blocks = quants.encode_cpu(form.type_id, x)
    error = np.abs(form.dequantize(blocks).reshape(x.shape) - x)
    # Half a level, and the rounding of the scale to 11 bits in Q8_1.
    assert (error <= np.abs(x).max(axis=-1, keepdims=True) * (0.501 / 127 + 2.0**-11)).all()


@pytest.mark.parametrize("form", [Q8_1, Q8_K], ids=lambda each: each.name)
def test_weights_cannot_be_quantized_to_them(form: LevelFormat) -> None:
    with pytest.raises(ValueError, match=f"weights cannot be quantized to {form.name}"):
        form.quantize(np.zeros((1, 256), np.float32))
