"""Operations that notice when they run out of order, and Ctrl-C at the worst time."""

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import i64
from pyggml_kernels.plan import Operation, Plan

N_ARGUMENTS = 8


@kernel
def check_order(arguments: int, chunk: int, worker: int) -> None:
    """Count this chunk's runs, and its errors: a chunk of an earlier operation not yet run in this step, or one of a
    later operation already run.

    Arguments: 0 counts i64 (n_slots,), a slot for each chunk of each operation; 1 n_slots; 2 first slot of this
    operation; 3 first slot of the next; 4 errors i64 (n_slots,); 5 workers i64 (n_slots,), who ran the chunk last;
    6 work, the most turns of a loop that a chunk takes; 7 results of the work i64 (n_slots,).
    """
    a = i64(arguments, N_ARGUMENTS)
    counts, errors = i64(a[0], a[1]), i64(a[4], a[1])
    slot = a[2] + chunk
    if chunk < 0 or slot >= a[3]:
        errors[0] += 1
        return
    for earlier in range(a[2]):
        if counts[earlier] != counts[slot] + 1:
            errors[slot] += 1
    for later in range(a[3], a[1]):
        if counts[later] != counts[slot]:
            errors[slot] += 1
    # A generator of random numbers, so that the loop is not optimized away; chunks take turns in being long.
    state = slot * 7919 + counts[slot] * 104729
    for _ in range(state % (a[6] + 1)):
        state = state * 6364136223846793005 + 1442695040888963407
    i64(a[7], a[1])[slot] = state
    i64(a[5], a[1])[slot] = worker
    counts[slot] += 1


class OrderedPlan:
    """A plan of `check_order`, an operation for each number of chunks, each chunk with some work to do."""

    def __init__(self, n_chunks: Sequence[int], *, work: int = 0, keep: Any = None) -> None:
        n_slots = sum(n_chunks)
        self.counts, self.errors, self.workers, results = (np.zeros(n_slots, np.int64) for _ in range(4))
        operations = []
        first = 0
        for n in n_chunks:
            words = [self.counts, n_slots, first, first + n, self.errors, self.workers, work, results]
            operations.append(Operation(check_order, _words(words), n))
            first += n
        # The plan keeps all that it reads alive, as a user's plan does.
        self.plan = Plan(operations, keep=[self.counts, self.errors, self.workers, results, keep])

    def assert_ran(self, n_steps: int, n_workers: int) -> None:
        """Every chunk ran once in each of so many steps, in order, by one of the workers."""
        assert not self.errors.any(), f"{self.errors.sum()} operations were not where they should be"
        np.testing.assert_array_equal(self.counts, n_steps)
        assert ((self.workers >= 0) & (self.workers < n_workers)).all()


def _words(values: Sequence[Any]) -> npt.NDArray[np.int64]:
    return np.array([each.ctypes.data if isinstance(each, np.ndarray) else each for each in values], np.int64)


def repeat_until_ctrl_c(work: Callable[[], object], seconds: float) -> None:
    """Do some work again and again until, so much later, Ctrl-C ends it.

    It comes again if it was lost: Python ignores what is raised in a finalizer or a callback of its garbage collector.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before, told = signal.signal(signal.SIGALRM, interrupt), sys.unraisablehook
    sys.unraisablehook = lambda lost: None
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
        while True:
            work()
    except KeyboardInterrupt:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = told
