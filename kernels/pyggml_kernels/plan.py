"""A plan: a flat table of kernel calls, and the loop that workers run it with.

An operation is a kernel, its arguments and a number of chunks. Every worker walks the whole table, takes chunks of the
operation it is at, and goes on when all chunks of it are counted done. Nobody waits for a thread as such: one that lost
its core delays the others only while it holds a chunk.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from pyggml_kernels.calls import call_operation
from pyggml_kernels.jit import Kernel, intrinsic, kernel
from pyggml_kernels.memory import i64

#: An entry is 32 words of 8 bytes. The two counters lie in cache lines of their own, apart from what is only read.
_WORDS, _NEXT, _DONE = 32, 8, 16
_ENTRY_BYTES = _WORDS * 8
#: Looks at a counter before the core is offered to others: long enough for a short chunk, short enough to lose little
#: when another process wants the core.
_SPINS = 200

# The C library's way to offer the core to another thread.
_yield_core = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def _atomic_load(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_word(builder, arguments[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def _atomic_increment(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _word(builder, arguments[0]), ir.IntType(64)(1), "acq_rel")

    return types.int64(types.int64), generate


@intrinsic
def _atomic_replace(typing_context: Any, address: Any, old: Any, new: Any) -> Any:
    """Compare and swap; True if it was `old` and is now `new`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pair = builder.cmpxchg(_word(builder, arguments[0]), arguments[1], arguments[2], "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@kernel
def run_plan(table: int, n_operations: int, step: int, worker: int) -> None:
    """Run every operation of the plan for the `step`-th time (from 0). Counters only grow, so nothing is reset."""
    for operation in range(n_operations):
        entry = table + operation * _ENTRY_BYTES
        words = i64(entry, 3)
        function, arguments, n_chunks = words[0], words[1], words[2]
        following, done = entry + _NEXT * 8, entry + _DONE * 8
        end = (step + 1) * n_chunks
        while True:
            ticket = _atomic_load(following)
            if ticket >= end:
                break
            if _atomic_replace(following, ticket, ticket + 1):
                call_operation(function, arguments, ticket - step * n_chunks, worker)
                _atomic_increment(done)
        spins = 0
        while _atomic_load(done) < end:
            spins += 1
            if spins > _SPINS:
                _yield_core()


@dataclass(frozen=True)
class Operation:
    """One call of a kernel `(arguments, chunk, worker)` for each chunk."""

    kernel: Kernel
    arguments: npt.NDArray[np.int64]
    n_chunks: int


class Plan:
    """Operations as the table that `run_plan` walks; keeps that, the arguments and what is in `keep` alive."""

    def __init__(self, operations: Sequence[Operation], keep: Sequence[Any] = ()) -> None:
        self.n_operations = len(operations)
        self.n_steps = 0
        # One entry more than needed, to begin at a cache line.
        self._memory = np.zeros((self.n_operations + 1) * _WORDS, np.int64)
        skipped = -self._memory.ctypes.data % _ENTRY_BYTES // 8
        table = self._memory[skipped : skipped + self.n_operations * _WORDS].reshape(-1, _WORDS)
        self._kept = ([operation.arguments for operation in operations], keep)
        for entry, operation in zip(table, operations, strict=True):
            entry[0] = operation.kernel.address
            entry[1] = operation.arguments.ctypes.data
            entry[2] = operation.n_chunks
        self.table = int(table.ctypes.data) if self.n_operations else 0
