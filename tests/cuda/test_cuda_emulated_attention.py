"""Attention beside its twin, as benchmarks/cuda checks it on a GPU: the emulator runs it, in small shapes."""

from typing import Any

import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; test_cuda_sources compiles every kernel")

from benchmarks.cuda import attention, kernels
from benchmarks.cuda.attention import Case
from tests.cuda.emulated_device import EmulatedDevice, Stream


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    emulated = EmulatedDevice()
    emulated.install(monkeypatch)
    for module in (attention, kernels):
        monkeypatch.setattr(module, "cupy", emulated.cupy)
        monkeypatch.setattr(module, "failures", [])
    monkeypatch.setattr(kernels, "Stream", Stream)
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


def test_a_small_gpu(device: EmulatedDevice) -> None:
    device.capability = 7, 5
    attention.check(Case(5, 1, 128, 128, (100,), (20,)))
    assert device.launched[2] == "attend<CacheHalf, CacheHalf, 128, 128, 16, 4, 1, 1>"


def test_a_token_is_the_same_in_every_batch() -> None:
    attention.check_alike(Case(7, 1, 32, 32, (260,), (40,)))
