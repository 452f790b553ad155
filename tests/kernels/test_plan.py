"""Plans and the workers that run them: the order of operations, and what becomes of late workers."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.plan import Plan
from pyggml_kernels.threads import WorkerPool, available_cores
from tests.kernels.ordered_operations import OrderedPlan, repeat_until_ctrl_c

POOL_SIZES = [1, 2, 4, 7]
#: Long enough for any machine; a test that waits so long has failed.
_PATIENCE = 60


@pytest.fixture(params=POOL_SIZES)
def pool(request: pytest.FixtureRequest) -> Iterator[WorkerPool]:
    result = WorkerPool(request.param)
    yield result
    result.close()


@pytest.fixture(scope="module")
def pools() -> Iterator[list[WorkerPool]]:
    """One of each size, for tests that hypothesis calls many times."""
    result = [WorkerPool(n) for n in POOL_SIZES]
    yield result
    for each in result:
        each.close()


def workers_alive() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("pyggml-worker-")]


def wait_until_only(before: list[threading.Thread]) -> None:
    """Until no workers but those are alive."""
    for thread in set(workers_alive()) - set(before):
        thread.join(_PATIENCE)
        assert not thread.is_alive(), f"{thread.name} did not end"


@settings(max_examples=150, deadline=None)
@given(
    n_chunks=st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 8, 30]), max_size=12),
    n_steps=st.integers(1, 20),
    work=st.sampled_from([0, 300, 30_000]),
    which=st.integers(0, len(POOL_SIZES) - 1),
)
def test_each_operation_is_over_before_the_next_begins(
    pools: list[WorkerPool], n_chunks: list[int], n_steps: int, work: int, which: int
) -> None:
    pool = pools[which]
    ordered = OrderedPlan(n_chunks, work=work)
    for _ in range(n_steps):
        pool.run(ordered.plan)
    ordered.assert_ran(n_steps, pool.n_workers)
    assert ordered.plan.n_steps == n_steps


@pytest.mark.parametrize("work", [0, 1000])
def test_thousands_of_steps(pool: WorkerPool, work: int) -> None:
    ordered = OrderedPlan([1, 5, 0, 1, 16, 1, 1, 0, 2], work=work)
    for _ in range(3000):
        pool.run(ordered.plan)
    ordered.assert_ran(3000, pool.n_workers)


def test_all_workers_take_part(pool: WorkerPool) -> None:
    ordered = OrderedPlan([50], work=100_000)
    n_steps, seen = 0, set[int]()
    end = time.monotonic() + _PATIENCE
    while len(seen) < pool.n_workers and time.monotonic() < end:
        pool.run(ordered.plan)
        n_steps += 1
        seen |= set(ordered.workers.tolist())
    assert seen == set(range(pool.n_workers))
    ordered.assert_ran(n_steps, pool.n_workers)


def test_plans_take_turns(pool: WorkerPool) -> None:
    plans = [OrderedPlan([n, 1, n], work=300) for n in (1, 4, 9)]
    for step in range(900):
        pool.run(plans[step % 3].plan)
    for each in plans:
        each.assert_ran(300, pool.n_workers)


def test_two_pools_may_run_one_plan_after_the_other(pools: list[WorkerPool]) -> None:
    ordered = OrderedPlan([3, 7, 1], work=300)
    for step in range(200):
        pools[step % len(pools)].run(ordered.plan)
    ordered.assert_ran(200, max(POOL_SIZES))


def test_late_workers_may_come_to_a_plan_that_was_dropped(pool: WorkerPool) -> None:
    # One chunk: the caller has run it before the others are awake, and drops the plan as it goes on.
    references = []
    for _ in range(500):
        ordered = OrderedPlan([1])
        pool.run(ordered.plan)
        ordered.assert_ran(1, pool.n_workers)
        references.append(weakref.ref(ordered.plan))
        del ordered
    # In the end everybody has let go of all of them, the last one too.
    end = time.monotonic() + _PATIENCE
    while any(reference() is not None for reference in references) and time.monotonic() < end:
        time.sleep(0.01)
        pool.forget()
    assert [reference() for reference in references] == [None] * 500


def test_a_plan_keeps_what_its_kernels_read_alive() -> None:
    class Constant:
        pass

    constant = Constant()
    reference = weakref.ref(constant)
    ordered = OrderedPlan([1], keep=constant)
    del constant
    assert reference() is not None
    del ordered
    gc.collect()
    assert reference() is None


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an operating system with timers that interrupt")
def test_ctrl_c_comes_before_a_step_or_after_it(pool: WorkerPool) -> None:
    ordered = OrderedPlan([4, 1, 9], work=30_000)
    # Once before: Numba does not bear to be interrupted while it loads a kernel.
    pool.run(ordered.plan)
    for delay in range(1, 200):
        repeat_until_ctrl_c(lambda: pool.run(ordered.plan), 1e-5 * delay)
        ordered.assert_ran(ordered.plan.n_steps, pool.n_workers)
    assert ordered.plan.n_steps > 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs an operating system that forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_computes_alone_and_leaves_its_parents_workers_alone(pool: WorkerPool) -> None:
    ordered = OrderedPlan([5, 1, 16], work=3000)
    pool.run(ordered.plan)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            pool.run(ordered.plan)
            ordered.assert_ran(2, 1)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    pool.run(ordered.plan)
    ordered.assert_ran(2, pool.n_workers)


def test_a_closed_pool_ends_its_threads() -> None:
    before = workers_alive()
    pool = WorkerPool(5)
    assert len(set(workers_alive()) - set(before)) == 4
    ordered = OrderedPlan([3, 3])
    pool.run(ordered.plan)
    pool.close()
    pool.close()
    wait_until_only(before)


def test_a_forgotten_pool_ends_its_threads() -> None:
    before = workers_alive()
    pool = WorkerPool(5)
    pool.run(OrderedPlan([3, 3]).plan)
    del pool
    gc.collect()
    wait_until_only(before)


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="0 workers: at least one is needed"):
        WorkerPool(0)


def test_an_empty_plan_is_run_at_once(pool: WorkerPool) -> None:
    plan = Plan([])
    for _ in range(3):
        pool.run(plan)
    assert plan.n_steps == 3


def test_available_cores_are_those_of_the_process() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an operating system with core affinity")
def test_available_cores_follow_the_affinity() -> None:
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    script += "from pyggml_kernels.threads import available_cores; print(available_cores())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=_PATIENCE)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize("ending", ["", "raise SystemExit(0)", "del pool", "Thread(target=pool.close).start()"])
def test_a_process_with_a_live_pool_exits(ending: str) -> None:
    script = f"""
from threading import Thread
from pyggml_kernels.plan import Plan
from pyggml_kernels.threads import WorkerPool
pool = WorkerPool(4)
plan = Plan([])
for _ in range(50):
    pool.run(plan)
{ending}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=_PATIENCE)
    assert done.stdout == done.stderr == ""


def test_a_busy_process_does_not_stall_a_pool(pool: WorkerPool) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            ordered = OrderedPlan([6, 1, 12, 1], work=3000)
            for _ in range(300):
                pool.run(ordered.plan)
        finally:
            busy.kill()
    ordered.assert_ran(300, pool.n_workers)
