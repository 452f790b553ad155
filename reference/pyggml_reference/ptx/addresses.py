"""Operands in brackets."""

import numpy as np

from pyggml_reference.ptx.arithmetic import Array
from pyggml_reference.ptx.memory import EmulationError
from pyggml_reference.ptx.program import Address, Name, Operand
from pyggml_reference.ptx.threads import Lanes, Threads


def addresses_of(threads: Threads, operand: Operand, lanes: Lanes) -> Array:
    """The addresses that an operand stands for."""
    if not isinstance(operand, Address):
        raise EmulationError(f"{operand} is no address")
    base = np.zeros(lanes.size, np.uint64) if operand.base is None else threads.read(Name(operand.base), "b64", lanes)
    return base + np.array(operand.offset, np.int64).view(np.uint64)
