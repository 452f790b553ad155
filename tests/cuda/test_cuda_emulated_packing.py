"""Matrices in pieces, packed by the emulator: the tiles are those that NumPy makes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; kernels are emulated without it")

from pyggml.backend.cuda.weights import new_lanes, place_matrix
from pyggml_cuda import lanes, layout, pieces
from pyggml_kernels.formats import LevelFormat, format_named
from tests.cuda.deferred_device import DeferredDevice
from tests.kernels.calling import random_weights

#: One format for each kernel; that all are decoded rightly is seen without one.
NAMES = ("Q4_1", "IQ4_XS", "IQ2_XS")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=2, deadline=None)
@given(n_rows=st.integers(1, 70), n_blocks=st.integers(1, 5), seed=st.integers(0, 99))
def test_formats_that_the_host_decodes(name: str, n_rows: int, n_blocks: int, seed: int) -> None:
    form = format_named(name)
    assert isinstance(form, LevelFormat)
    n_columns = n_blocks * max(32, form.block_size)
    data = random_weights(form, np.random.default_rng(seed), n_rows, n_columns).reshape(-1)
    device = DeferredDevice(seed)
    with pytest.MonkeyPatch.context() as patch:
        device.install(patch)
        for module in (lanes, pieces):
            patch.setattr(module, "PIECE_BYTES", 1 << 14)
        sending = new_lanes(0)
        weight = place_matrix(data, form, n_rows, n_columns, 0, sending)
        sending.close()
        found = device.get(weight.address, np.uint8, (weight.memory.size,))
    np.testing.assert_array_equal(found, layout.decoded_tiles(form, data, n_rows, n_columns).reshape(-1))
