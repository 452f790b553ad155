"""A plan: a flat table of kernel calls, and the loop that workers run it with.

An operation is a kernel, its arguments and a number of chunks. Every worker walks the whole table, takes chunks of the
operation it is at, and goes on when all chunks of it are counted done. Nobody waits for a thread as such: one that lost
its core delays the others only while it holds a chunk.

Workers sleep in compiled code, each at the end of a pipe, and are woken by it too: none of them ever needs Python's
interpreter lock. A step is one call from Python, so that Ctrl-C comes before it or after it.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from pyggml_kernels.calls import call_operation, call_transfer
from pyggml_kernels.jit import Kernel, device, intrinsic, kernel
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


@device
def _walk(table: int, n_operations: int, step: int, worker: int) -> None:
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


#: A job is a plan's table, the number of its operations, and the step to run.
JOB_WORDS = 3
#: A pool's memory is a number of lines of so many words: one with the address of the C library's `write`, the number of
#: the lines that follow, and that of the jobs so far; then a mailbox for each worker but the first, which is
#: a job, the number of those that the worker is through with, and the end of a pipe where others are put in.
LINE_WORDS = 8
WRITE, N_MAILBOXES, N_JOBS = 0, 1, 2
THROUGH, PIPE = 3, 4


@kernel
def run_jobs(read: int, pipe: int, mailbox: int, worker: int) -> None:
    """Run the jobs that come out of a pipe, until that is closed. read: the address of the C library's function."""
    job = i64(mailbox, JOB_WORDS)
    while call_transfer(read, pipe, mailbox, JOB_WORDS * 8) == JOB_WORDS * 8:
        _walk(job[0], job[1], job[2], worker)
        _atomic_increment(mailbox + THROUGH * 8)


@kernel
def run_together(job: int, pool: int) -> None:
    """Run the next step of a plan: give the job to a pool's workers, and take part as the first of them."""
    words, head = i64(job, JOB_WORDS), i64(pool, LINE_WORDS)
    words[2] += 1
    head[N_JOBS] += 1
    for number in range(head[N_MAILBOXES]):
        mailbox = pool + (number + 1) * LINE_WORDS * 8
        if call_transfer(head[WRITE], i64(mailbox, LINE_WORDS)[PIPE], job, JOB_WORDS * 8) != JOB_WORDS * 8:
            # It was not told, so it will not come.
            _atomic_increment(mailbox + THROUGH * 8)
    _walk(words[0], words[1], words[2], 0)


@dataclass(frozen=True)
class Operation:
    """One call of a kernel `(arguments, chunk, worker)` for each chunk."""

    kernel: Kernel
    arguments: npt.NDArray[np.int64]
    n_chunks: int


class Plan:
    """Operations as the table that workers walk; keeps that, the arguments and what is in `keep` alive."""

    def __init__(self, operations: Sequence[Operation], keep: Sequence[Any] = ()) -> None:
        # One entry more than needed, to begin at a cache line.
        self._memory = np.zeros((len(operations) + 1) * _WORDS, np.int64)
        skipped = -self._memory.ctypes.data % _ENTRY_BYTES // 8
        table = self._memory[skipped : skipped + len(operations) * _WORDS].reshape(-1, _WORDS)
        self._kept = ([operation.arguments for operation in operations], keep)
        for entry, operation in zip(table, operations, strict=True):
            entry[0] = operation.kernel.address
            entry[1] = operation.arguments.ctypes.data
            entry[2] = operation.n_chunks
        # No step has been run.
        self.job = np.array([table.ctypes.data if operations else 0, len(operations), -1], np.int64)

    @property
    def n_steps(self) -> int:
        """How many times it was run."""
        return int(self.job[2]) + 1
