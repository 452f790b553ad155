"""The library of the CUDA driver; without CuPy, which takes long to import."""

import ctypes
import os
from functools import cache


@cache
def library() -> ctypes.CDLL:
    """The driver's functions; OSError if there is no driver."""
    return ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")


def is_installed() -> bool:
    """Whether there is a driver."""
    try:
        library()
    except OSError:
        return False
    return True
