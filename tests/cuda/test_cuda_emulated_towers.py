"""The kernels of vision towers, run by the emulator, beside their twins."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pyggml_cuda import patch_attention, sections
from pyggml_cuda.convert import Source, convert
from pyggml_cuda.formats import FLOATS
from pyggml_cuda.matmul import Activation
from pyggml_cuda.patch_attention import PatchHeads
from pyggml_reference import cuda_twins as twins
from tests.cuda.emulation import Emulator
from tests.kernels.calling import nmse

RNG = np.random.default_rng(5)


@cache
def emulator() -> Emulator:
    return Emulator()


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def converted(source: Source, n: int) -> npt.NDArray[np.float32]:
    """Rows of a source, as floats."""
    out = emulator().allocate(4 * n * source.n_columns)
    emulator().run(convert(source, FLOATS, Activation(out, 0, 0, 4 * source.n_columns, 0, 0), n))
    found: npt.NDArray[np.float32] = emulator().get(out, np.float32, (n, source.n_columns))
    return found


@pytest.mark.parametrize("n_columns", [64, 1280])
def test_norms_and_activations(n_columns: int) -> None:
    e, n = emulator(), 3
    x, weight, bias = 3 * floats(n, n_columns) + 1, floats(n_columns), floats(n_columns)
    address = e.put(x)
    norm = Source("LayerNorm", n_columns, address, e.put(weight), epsilon=1e-6, third=e.put(bias))
    assert nmse(converted(norm, n), twins.layer_norm(x, weight, bias, 1e-6)) < 1e-12
    rms = Source("RMSNorm", n_columns, address, e.put(weight), epsilon=1e-6)
    assert nmse(converted(rms, n), twins.rms_norm(x, weight, 1e-6)) < 1e-12
    for quick in (False, True):
        found = converted(Source(f"GELU<{str(quick).lower()}>", n_columns, address), n)
        assert nmse(found, twins.gelu(x, quick=quick)) < 1e-12


def angles_of(places: npt.NDArray[np.int32], parts: Sequence[tuple[int, int, int]], theta_scale: float) -> int:
    """The address of the angles of positions by section."""
    n_pairs = parts[-1][1]
    out = emulator().allocate(8 * len(places) * n_pairs)
    parameters = sections.SectionAngles(n_pairs, theta_scale, 1.0, parts)
    emulator().run(sections.section_angles(parameters, emulator().put(places), out, len(places)))
    return out


@pytest.mark.parametrize("parts", [[(0, 8, 0), (8, 20, 0), (20, 32, 0)], [(0, 9, 0), (9, 18, 9)]])
def test_angles_by_section(parts: list[tuple[int, int, int]]) -> None:
    places = RNG.integers(0, 900, (7, len(parts)), np.int32)
    found = emulator().get(angles_of(places, parts, 0.8), np.float32, (7, 2, parts[-1][1]))
    exact = np.stack(twins.section_angles(places, parts, float(np.float32(0.8))), axis=1)
    assert np.abs(found - exact).max() < 1e-3


@pytest.mark.parametrize(
    ("n_heads", "size", "window_sizes", "n_groups"),
    [
        (2, 32, [20], 1),
        (1, 80, [200], 2),
        (1, 80, [70], 1),
        (2, 16, [64, 32, 4, 65], 1),
        (2, 36, [1, 66], 1),
        (1, 128, [67], 1),
    ],
)
def test_attention_over_patches(n_heads: int, size: int, window_sizes: list[int], n_groups: int) -> None:
    e = emulator()
    windows = np.repeat(np.arange(len(window_sizes)), window_sizes).astype(np.int32)
    n, quarter = len(windows), size // 4
    heads = PatchHeads(n, n_heads, size)
    q, k, v = 3 * floats(n, n_heads, size), floats(n, n_heads, size), floats(n, n_heads, size)
    places, parts = RNG.integers(0, 90, (n, 2), np.int32), [(0, quarter, 0), (quarter, 2 * quarter, quarter)]
    angles = twins.section_angles(places, parts, 0.5)
    addresses = [e.allocate(heads.n_bytes) for _ in range(3)]
    halves = addresses[0], addresses[1], addresses[2]
    e.run(
        patch_attention.place_heads(
            heads,
            (e.put(q), e.put(k), e.put(v)),
            angles_of(places, parts, 0.5),
            halves,
            size**-0.5,
            through_bfloats=False,
        )
    )
    placed = [e.get(each, np.float16, (n_heads, n, heads.padded_size)).swapaxes(0, 1) for each in halves]
    expected = [
        twins.patch_heads(q, angles, size**-0.5 * np.log2(np.e)),
        twins.patch_heads(k, angles),
        twins.patch_heads(v, None),
    ]
    for found, other in zip(placed, expected, strict=True):
        assert nmse(found[..., :size], other) < 1e-8
        assert not found[..., size:].any()
    tiles = patch_attention.cut(windows, size, n_groups)
    out = e.allocate(4 * n * n_heads * size)
    e.run(patch_attention.attend(heads, halves, out, e.put(tiles.rows), len(tiles.rows), tiles.n_groups))
    wide: list[Any] = [each[..., :size].astype(np.float64) for each in placed]
    exact = twins.attend_patches(wide[0], wide[1], wide[2], windows)
    # Weights are halves.
    assert nmse(e.get(out, np.float32, (n, n_heads, size)), exact) < 3e-7
