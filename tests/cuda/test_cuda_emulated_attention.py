"""Attention beside its twin, as benchmarks/cuda checks it on a GPU: the emulator runs it, in small shapes."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; test_cuda_sources compiles every kernel")

from benchmarks.cuda import attention, kernels
from benchmarks.cuda.attention import Case
from tests.cuda.emulated_device import EmulatedDevice, Stream


def install(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    device.install(monkeypatch)
    for module in (attention, kernels):
        monkeypatch.setattr(module, "cupy", device.cupy)
        monkeypatch.setattr(module, "failures", [])
    monkeypatch.setattr(kernels, "Stream", Stream)


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    emulated = EmulatedDevice()
    install(emulated, monkeypatch)
    yield emulated
    assert not kernels.failures


@pytest.mark.parametrize(
    "case",
    [
        Case(7, 1, 128, 128, (0,), (1,)),
        Case(7, 1, 128, 128, (300,), (1,)),
        Case(10, 2, 64, 64, (63, 5), (3, 1)),
        Case(10, 2, 64, 32, (40, 0), (9, 20)),
        Case(4, 2, 16, 16, (70,), (1,), halves=False, page_size=4),
        Case(4, 2, 80, 48, (70,), (2,)),
        Case(2, 1, 256, 256, (30,), (40,)),
        Case(7, 1, 64, 64, (80,), (1,), ("bf16", "f16")),
        Case(7, 1, 64, 64, (80,), (1,), ("f16", "bf16")),
        Case(7, 1, 64, 64, (80,), (1,), ("q8_0", "q8_0")),
        Case(7, 1, 64, 64, (30,), (9,), ("q8_0", "f32")),
        Case(4, 2, 32, 96, (70,), (2,), ("f32", "q8_0"), page_size=8),
    ],
    ids=lambda case: case.name,
)
def test_attention(case: Case) -> None:
    attention.check(case)


def test_prompts_that_go_through_many_splits() -> None:
    attention.check(Case(5, 1, 32, 32, (770,), (60,)))


def test_many_splits() -> None:
    attention.check(Case(5, 1, 32, 48, (17000,), (1,)))


@pytest.mark.parametrize(("new", "expected"), [(1, "128, 128, 8, 1, 4, 3"), (20, "128, 128, 16, 4, 1, 1")])
def test_compute_capability_7_5(monkeypatch: pytest.MonkeyPatch, new: int, expected: str) -> None:
    device = EmulatedDevice((7, 5))
    install(device, monkeypatch)
    attention.check(Case(5, 1, 128, 128, (70,), (new,)))
    assert device.launched[2] == f"attend<CacheHalf, CacheHalf, {expected}>"


def test_a_token_is_the_same_in_every_batch() -> None:
    attention.check_alike(Case(7, 1, 32, 32, (260,), (40,)))


@pytest.mark.parametrize(("before", "new"), [(40, 1), (127, 2), (266, 1), (60, 20)])
def test_what_a_step_writes_is_read_behind_it_alone(device: EmulatedDevice, before: int, new: int) -> None:
    """Attention begins while the kernel before it still turns queries and writes the cache."""
    batch = attention.Batch(Case(3, 1, 32, 32, (before,), (new,)))
    batch.old_rows()
    (angles, store), attend, merge = batch.store(), batch.attend(), batch.merge()
    pages = batch.pages[0].tolist()
    rows = [each.read(pages, before + new) for each in batch.stores]
    kernels.run(angles, store, attend, merge)
    expected = batch.merged.copy()
    batch.device[0][...] = batch.q
    for each, old in zip(batch.stores, rows, strict=True):
        each.write(pages, before + new, old)
    device.emulator.memory.predecessor = lambda: kernels.run(store)
    kernels.run(attend)
    assert device.emulator.memory.predecessor is None
    kernels.run(merge)
    assert np.array_equal(batch.merged, expected)
