"""Addresses of arrays that may be written to, and of others."""

import numpy as np

from pyggml.sampling.addresses import address_of


def test_address_of_any_array() -> None:
    array = np.arange(5, dtype=np.float32)
    assert address_of(array) == array.ctypes.data
    assert address_of(array[2:]) == array.ctypes.data + 8
    array.flags.writeable = False
    assert address_of(array) == array.ctypes.data
