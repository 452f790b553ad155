"""The pool of workers that run plans. Idle workers sleep."""

import ctypes
import os
import signal
import sys
import threading
from collections import deque
from weakref import finalize

import numpy as np
import numpy.typing as npt

from pyggml_kernels.plan import LINE_WORDS, N_JOBS, N_MAILBOXES, PIPE, THROUGH, WRITE, Plan, run_jobs, run_together

_Words = npt.NDArray[np.int64]
#: Plans that workers may still be at, each with the number of its last job.
_Recent = deque[tuple[int, Plan]]


def available_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _address(name: str) -> int:
    """Of a function of the C library, whose pipes are those of `os`."""
    on_windows = sys.platform == "win32"
    library = ctypes.CDLL("ucrtbase" if on_windows else None)
    return ctypes.cast(library["_" + name if on_windows else name], ctypes.c_void_p).value or 0


def _leave_signals_to_others() -> None:
    """Let no signal wake this thread; those that tell of its own faults stay."""
    if sys.platform != "win32":
        faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - faults)


def _work(pipe: int, mailbox: _Words, worker: int, recent: _Recent) -> None:
    """Run jobs until the pipe's other end is closed. `recent` is held: what it keeps alive may still be walked."""
    _leave_signals_to_others()
    run_jobs(_address("read"), pipe, mailbox.ctypes.data, worker)
    os.close(pipe)
    del recent


def _close(pipes: list[int]) -> None:
    for pipe in pipes:
        os.close(pipe)


class WorkerPool:
    """`n_workers` workers: the calling thread is the first, the others are threads that sleep between plans."""

    def __init__(self, n_workers: int) -> None:
        if n_workers < 1:
            raise ValueError(f"{n_workers} workers: at least one is needed")
        self.n_workers = n_workers
        # A line more than there are workers, to begin at a cache line.
        memory = np.zeros((n_workers + 1) * LINE_WORDS, np.int64)
        skipped = -memory.ctypes.data % (LINE_WORDS * 8) // 8
        self._lines = memory[skipped : skipped + n_workers * LINE_WORDS].reshape(n_workers, LINE_WORDS)
        self._lines[0, [WRITE, N_MAILBOXES]] = _address("write"), n_workers - 1
        self._recent: _Recent = deque()
        self._process = os.getpid()
        run_together.prepare()
        if n_workers > 1:
            run_jobs.prepare()
        self._close = finalize(self, _close, [self._start(number) for number in range(1, n_workers)])

    def _start(self, worker: int) -> int:
        """Start a worker's thread; gives the end of its pipe where jobs are put in."""
        mailbox = self._lines[worker]
        pipe, mailbox[PIPE] = os.pipe()
        arguments = (pipe, mailbox, worker, self._recent)
        threading.Thread(target=_work, args=arguments, name=f"pyggml-worker-{worker}", daemon=True).start()
        return int(mailbox[PIPE])

    def run(self, plan: Plan) -> None:
        """Run a plan once and return when its last operation is over. One caller at a time."""
        if os.getpid() != self._process:
            # A fork has the pipes, but none of the threads, and must not wake those of its parent.
            self._lines[0, N_MAILBOXES] = 0
        self.forget()
        if self._lines[0, N_MAILBOXES]:
            self._recent.append((int(self._lines[0, N_JOBS]) + 1, plan))
        run_together(plan.job.ctypes.data, self._lines.ctypes.data)

    def forget(self) -> None:
        """Let go of the plans that all workers are through with."""
        while self._recent and self._recent[0][0] <= self._lines[1:, THROUGH].min():
            self._recent.popleft()

    def close(self) -> None:
        """Let the threads end; the pool cannot be used afterwards."""
        self._close()
