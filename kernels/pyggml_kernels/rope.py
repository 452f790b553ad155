"""Rotary position embedding (Su et al., 2021, arXiv:2104.09864), with linear and YaRN scaling (arXiv:2309.00071)."""

import math

import numpy as np

from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, f64, i32, i64
from pyggml_kernels.rounding import multiply_add
from pyggml_kernels.simd.rows import load_floats
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.simd.widening import store_floats

N_ARGUMENTS = 12


@kernel
def rope_angles(arguments: int, chunk: int, worker: int) -> None:
    """Cosines and sines for a position, shared by all heads and layers of a step; a token a chunk.

    The angle of pair i is position * base^(-2i/n), reached by repeated multiplication in float32 as ggml does: at large
    positions the rounding of that recipe is visible, so it is part of the numbers to be equal to.
    YaRN mixes interpolated and extrapolated angles between two pair indices and scales the amplitude. Compilers fuse
    the sum of the mix with its first product, which at large positions shows as well.

    Arguments: 0 positions i32 (n,), 1 n_pairs, 2 out f32 (n, 2, n_pairs), 3 factor of each pair f32 (n_pairs,),
    and as doubles 4 theta scale, base^(-2/n), 5 frequency scale, 6 extrapolation factor, 7 amplitude,
    8 first and 9 last pair of YaRN's ramp.
    """
    a, d = i64(arguments, N_ARGUMENTS), f64(arguments, N_ARGUMENTS)
    n_pairs = a[1]
    factors = f32(a[3], n_pairs)
    cosines = f32(a[2] + chunk * n_pairs * 8, n_pairs)
    sines = f32(a[2] + chunk * n_pairs * 8 + n_pairs * 4, n_pairs)
    theta_scale, frequency_scale = np.float32(d[4]), np.float32(d[5])
    extrapolation, amplitude = np.float32(d[6]), np.float32(d[7])
    low, high = np.float32(d[8]), np.float32(d[9])
    theta = np.float32(i32(a[0] + chunk * 4, 1)[0])
    for pair in range(n_pairs):
        extrapolated = theta / factors[pair]
        angle = frequency_scale * extrapolated
        if extrapolation != np.float32(0):
            ramp = (np.float32(pair) - low) / max(np.float32(0.001), high - low)
            mix = (np.float32(1) - min(np.float32(1), max(np.float32(0), ramp))) * extrapolation
            angle = multiply_add(angle, np.float32(1) - mix, extrapolated * mix)
        cosines[pair] = math.cos(angle) * amplitude
        sines[pair] = math.sin(angle) * amplitude
        theta = theta * theta_scale


@device
def _rotate_vectors(first: int, second: int, cosines: int, n_pairs: int) -> None:
    """Rotate 16 pairs; their sines lie `n_pairs` floats behind their cosines."""
    x, y = load_floats(first), load_floats(second)
    cosine, sine = load_floats(cosines), load_floats(cosines + n_pairs * 4)
    store_floats(first, x * cosine - y * sine)
    store_floats(second, x * sine + y * cosine)


@kernel
def rope_rotate(arguments: int, chunk: int, worker: int) -> None:
    """Rotate the pairs of every head in place; a token a chunk.

    Arguments: 0 x f32 (n, n_heads, head_size), 1 n_heads, 2 head_size, 3 n_pairs, 4 angles f32 (n, 2, n_pairs),
    5 the distance of a pair's second element from its first: 1 (adjacent, `llama`) or n_pairs (halves, `neox`),
    6 the distance from one pair to the next: 2 or 1, 7 floats from one token of x to the next.
    """
    a = i64(arguments, N_ARGUMENTS)
    n_pairs, apart, step = a[3], a[5], a[6]
    cosines = f32(a[4] + chunk * n_pairs * 8, n_pairs)
    sines = f32(a[4] + chunk * n_pairs * 8 + n_pairs * 4, n_pairs)
    # Vectors where both elements of neighbouring pairs are neighbours, too.
    whole = n_pairs - n_pairs % TILE_ROWS if step == 1 else 0
    for head in range(a[1]):
        address = a[0] + (chunk * a[7] + head * a[2]) * 4
        for pair in range(0, whole, TILE_ROWS):
            _rotate_vectors(
                address + pair * 4, address + (pair + apart) * 4, a[4] + (chunk * 2 * n_pairs + pair) * 4, n_pairs
            )
        x = f32(address, a[2])
        for pair in range(whole, n_pairs):
            first, second = x[pair * step], x[pair * step + apart]
            x[pair * step] = first * cosines[pair] - second * sines[pair]
            x[pair * step + apart] = first * sines[pair] + second * cosines[pair]
