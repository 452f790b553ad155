"""What the quantizers of blocks with one scale share: extremes of a block, halves, and codes packed in bytes."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.lane_codes import highest_lane, larger, lowest_bit, lowest_lane, which_lanes
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, magnitude, select, store_lanes_as_bytes
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32, u8

#: Lanes that the functions here work with.
N_LANES = 16
_STEP = 4 * N_LANES
#: Places the second of two 4-bit codes in a byte.
SIXTEEN = np.float32(16)
_ZERO, _ONE, _FIFTEEN = np.float32(0), np.float32(1), np.float32(15)


@device
def load_16(address: int) -> Any:
    """16 floats."""
    return load_lanes(address, lanes_of(16, np.float32(0)))


@device
def inverse_or_zero(x: Any) -> Any:
    """1 / x, or 0 for 0."""
    return _ZERO if x == _ZERO else _ONE / x


@device
def largest_magnitude(address: int, n: int) -> Any:
    """The largest magnitude of `n` floats, a multiple of 16."""
    largest = magnitude(load_16(address))
    for offset in range(_STEP, n * 4, _STEP):
        largest = larger(largest, magnitude(load_16(address + offset)))
    return highest_lane(largest)


@device
def first_largest(address: int, n: int) -> Any:
    """The first of `n` floats (a multiple of 16) of the largest magnitude; 0, not -0, if all are zero."""
    largest = largest_magnitude(address, n)
    if largest > _ZERO:
        for first in range(0, n, N_LANES):
            smaller = magnitude(load_16(address + first * 4)) < largest
            place = lowest_bit(~which_lanes(smaller))
            if place < N_LANES:
                return f32(address, n)[first + place]
    return _ZERO


@device
def _first_equal(address: int, n: int, x: Any) -> Any:
    """The first of `n` floats that equals `x`: a zero may have the other sign."""
    numbers = f32(address, n)
    for i in range(n):
        if numbers[i] == x:
            return numbers[i]
    return x


@device
def lowest_and_highest(address: int, n: int) -> Any:
    """The least and the largest of `n` floats (a multiple of 16), each the first of its equals."""
    low, high = load_16(address), load_16(address)
    for offset in range(_STEP, n * 4, _STEP):
        each = load_16(address + offset)
        low, high = select(each < low, each, low), select(each > high, each, high)
    least, most = lowest_lane(low), highest_lane(high)
    if least == _ZERO:
        least = _first_equal(address, n, least)
    if most == _ZERO:
        most = _first_equal(address, n, most)
    return least, most


@device
def store_four_bits(out: int, low: Any, high: Any) -> None:
    """Write 16 bytes: codes below 16 in the low halves, other such codes in the high ones."""
    store_lanes_as_bytes(out, low + high * SIXTEEN)


@device
def store_five_bits(out: int, low: Any, high: Any) -> None:
    """Write 4 bytes with the fifth bits of 32 codes, then 16 bytes with their other bits as `store_four_bits` does."""
    low_bits, high_bits = low > _FIFTEEN, high > _FIFTEEN
    fifth = which_lanes(low_bits) | (which_lanes(high_bits) << 16)
    flags = u8(out, 4)
    for i in range(4):
        flags[i] = np.uint8((fifth >> (8 * i)) & 0xFF)
    store_four_bits(out + 4, select(low_bits, low - SIXTEEN, low), select(high_bits, high - SIXTEEN, high))
