"""The pool of workers that run plans. Idle workers sleep."""

import os
import threading
from queue import SimpleQueue
from weakref import finalize

from pyggml_kernels.plan import Plan, run_plan


def available_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_Inbox = SimpleQueue["tuple[Plan, int] | None"]


def _work(inbox: _Inbox, worker: int) -> None:
    """Run each plan that arrives until None does. Holding the plan keeps its table alive while it is walked."""
    while (job := inbox.get()) is not None:
        plan, step = job
        run_plan(plan.table, plan.n_operations, step, worker)
        del plan, job


def _stop(inboxes: list[_Inbox]) -> None:
    for inbox in inboxes:
        inbox.put(None)


class WorkerPool:
    """`n_workers` workers: the calling thread is the first, the others are threads that sleep between plans."""

    def __init__(self, n_workers: int) -> None:
        if n_workers < 1:
            raise ValueError(f"{n_workers} workers: at least one is needed")
        self.n_workers = n_workers
        self._running: Plan | None = None
        self._inboxes: list[_Inbox] = [SimpleQueue() for _ in range(n_workers - 1)]
        for number, inbox in enumerate(self._inboxes, start=1):
            threading.Thread(target=_work, args=(inbox, number), name=f"pyggml-worker-{number}", daemon=True).start()
        self._close = finalize(self, _stop, self._inboxes)

    def run(self, plan: Plan) -> None:
        """Run a plan once and return when its last operation is over. One caller at a time."""
        self.settle()
        self._running = plan
        plan.n_steps += 1
        for inbox in self._inboxes:
            inbox.put((plan, plan.n_steps - 1))
        self.settle()

    def settle(self) -> None:
        """Bring the last step to its end.

        Ctrl-C can end `run` at any point, while the others work on. Until this is called, as `run` does first, what the
        step reads must not change. A step that is over has no chunks left: running it again does nothing.
        """
        if self._running is not None:
            run_plan(self._running.table, self._running.n_operations, self._running.n_steps - 1, 0)
            self._running = None

    def close(self) -> None:
        """Let the threads end; the pool cannot be used afterwards."""
        self._close()
