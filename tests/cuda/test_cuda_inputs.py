"""What a step sends: kernels find positions, outputs, tiles and each token's pages where they look for them."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cuda.inputs import StepInputs
from pyggml.backend.graph import Value
from pyggml.backend.protocol import Step
from pyggml_cuda import attention
from tests.cuda.fake_device import FakeDevice


def at(address: int, n: int) -> npt.NDArray[np.int32]:
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_int32)), (n,))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), n_pages=st.integers(1, 6), seed=st.integers(0, 10**6)
)
def test_kernels_find_what_was_sent(lengths: list[int], n_pages: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    n = sum(lengths)
    sequences = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    positions, outputs = random.integers(0, 99, n).astype(np.int32), np.arange(0, n, 2, dtype=np.int32)
    pages = random.integers(0, 99, (len(lengths), n_pages)).astype(np.int32)
    step = Step(np.zeros(n, np.int32), positions, sequences, pages, outputs)
    _, tiles = attention.cut(sequences, 50, 3, 2)
    rows = random.standard_normal((n, 8)).astype(np.float32)
    copied: list[int] = []
    value = Value(0, "tokens", 4 * 8)

    def copy(target: int, source: npt.NDArray[Any], stream: Any) -> None:
        copied.append(source.nbytes)
        ctypes.memmove(target, source.ctypes.data, source.nbytes)

    with pytest.MonkeyPatch.context() as patch:
        FakeDevice().install(patch)
        patch.setattr("pyggml_cuda.device.copy_to_device", copy)
        inputs = StepInputs(n_batch=20, n_sequences=4, n_pages=500, n_tiles=40, first=[value])
        for _ in range(2):
            inputs.send(step, tiles, [rows], None)
    table = inputs.table
    np.testing.assert_array_equal(at(table.positions, n), positions)
    np.testing.assert_array_equal(at(inputs.outputs, len(outputs)), outputs)
    np.testing.assert_array_equal(at(inputs.tiles, tiles.size), tiles.reshape(-1))
    np.testing.assert_array_equal(at(inputs.rows(value), rows.size).view(np.float32), rows.reshape(-1))
    for token, sequence in enumerate(sequences):
        # As `of_token` in src/paged_cache.cuh has it.
        first = int(at(table.sequences, n)[token]) * table.stride
        np.testing.assert_array_equal(at(table.pages + 4 * first, n_pages), pages[sequence])
    assert sum(copied[:2]) == 4 * (20 + 20 + 20 + 3 * 40 + pages.size + rows.size)
