"""Whole decoders on a GPU that the emulator stands for: the numbers are the CPU's, however batches are cut."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; kernels are emulated without it")

from pyggml.backend.cuda import CUDABackend
from pyggml.backend.protocol import CacheShape, RankingExecutable, Step
from pyggml_cuda import matmul, matmul_wide
from pyggml_reference import cuda_twins
from tests.cuda.emulated_device import EmulatedDevice
from tests.kernels.small_decoder import N_BATCH, N_SEQUENCES, N_VOCAB, Decoder, Part, Runner

SHAPE = CacheShape(2, 2, 64, 64, 24, 8, "f16", "f16")
TEXT = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 32, 38, 4, 6, 26, 43, 3, 8, 32, 7, 9, 5]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> EmulatedDevice:
    emulated = EmulatedDevice()
    emulated.install(monkeypatch)
    return emulated


def runners(format_name: str, cache_format: str = "f16") -> list[Runner]:
    """The same decoder on the CPU and on the device."""
    decoder = Decoder(format_name, True)
    on_cpu = Runner(decoder, cache_format=cache_format)
    on_gpu = Runner(decoder, cache_format=cache_format)
    backend: Any = CUDABackend(N_BATCH, N_SEQUENCES)
    shape = replace(SHAPE, key_format=cache_format, value_format=cache_format)
    on_gpu.executable = backend.compile(decoder.graph(backend), backend.cache(shape))
    return [on_cpu, on_gpu]


def nmse(found: npt.NDArray[np.float32], exact: npt.NDArray[np.float32]) -> float:
    return float(((found.astype(np.float64) - exact) ** 2).sum() / (exact.astype(np.float64) ** 2).sum())


@pytest.mark.parametrize("format_name", ["Q4_K", "Q3_K", "Q8_0", "F16"])
def test_a_text_in_batches(device: EmulatedDevice, format_name: str) -> None:
    cpu, gpu = (each.read(TEXT, [20, 1, 2]) for each in runners(format_name))
    assert cpu.shape == (len(TEXT), N_VOCAB)
    assert nmse(gpu, cpu) < 1e-4
    wide = any(each.startswith("matmul_wide") for each in device.launched)
    assert wide == (format_name in ("Q4_K", "Q3_K"))


@pytest.mark.parametrize("cache_format", ["f32", "bf16", "q8_0"])
def test_other_caches(device: EmulatedDevice, cache_format: str) -> None:
    cpu, gpu = (each.read(TEXT, [20, 1, 2]) for each in runners("F32", cache_format))
    assert nmse(gpu, cpu) < {"f32": 1e-10, "bf16": 1e-5, "q8_0": 1e-5}[cache_format]


def test_compute_capability_7_5(monkeypatch: pytest.MonkeyPatch) -> None:
    EmulatedDevice((7, 5)).install(monkeypatch)
    cpu, gpu = (each.read(TEXT, [20, 1, 2]) for each in runners("Q4_K"))
    assert nmse(gpu, cpu) < 1e-4


def test_products_that_come_out_wrong_are_left_alone(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    multiply = matmul_wide.multiply

    def spoiled(form: Any, matrices: Any, x: matmul.Activation, *others: Any) -> Any:
        # All columns with the scales of the first 256.
        return multiply(form, matrices, replace(x, scale_stride=0), *others)

    monkeypatch.setattr(matmul_wide, "multiply", spoiled)
    cpu, gpu = runners("Q4_K")
    with pytest.warns(RuntimeWarning, match="products of Q4_K by warpgroups come out wrong on this GPU"):
        found = gpu.read(TEXT, [20])
    assert nmse(found, cpu.read(TEXT, [20])) < 1e-4


def test_sequences_together(device: EmulatedDevice) -> None:
    results = []
    for runner in runners("Q4_K"):
        runner.run([Part(0, 0, TEXT[:5], []), Part(2, 0, TEXT[5:12], [6])])
        results.append(runner.run([Part(0, 5, TEXT[5:6], [0]), Part(1, 0, TEXT[:9], [3, 8]), Part(2, 7, [1], [0])]))
    assert nmse(results[1], results[0]) < 1e-4


def test_the_largest_logits_are_those_of_all(device: EmulatedDevice) -> None:
    runner: Any = runners("Q8_0")[1]
    executable, steps = runner.executable, list[Step]()
    assert isinstance(executable, RankingExecutable)

    class Recording:
        """Runs, and keeps the steps."""

        def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            steps.append(step)
            result: npt.NDArray[np.float32] = executable.run(step, *received)
            return result

    runner.executable = Recording()
    logits = runner.run([Part(0, 0, TEXT[:5], [4]), Part(2, 0, TEXT[5:12], [0, 6])]).copy()
    (step,) = steps
    for _ in range(2):
        found = executable.rank(step)
        values, places = cuda_twins.largest(logits, N_VOCAB)
        np.testing.assert_array_equal(found.places, places)
        np.testing.assert_array_equal(found.values, values)
        for output in (2, 0, 1):
            np.testing.assert_array_equal(executable.row(output), logits[output])


def test_filling_a_batch_up_changes_no_bit(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def results(executable: Any) -> list[npt.NDArray[np.float32]]:
        """Nine sequences begin together, then go on, one of them with a prompt."""
        n, pages = 9, np.arange(18, dtype=np.int32).reshape(9, 2)
        first = np.arange(n, dtype=np.int32)
        begin = Step(np.array(TEXT[:n], np.int32), np.zeros(n, np.int32), first, pages, first)
        sequences = np.array([0, *[8] * 5, 3, 4, 5], np.int32)
        positions = np.array([1, 1, 2, 3, 4, 5, 1, 1, 1], np.int32)
        go_on = Step(begin.tokens, positions, sequences, pages, np.array([0, 5, 8], np.int32))
        return [executable.run(each).copy() for each in (begin, go_on)]

    found = results(runners("Q8_0")[1].executable)
    monkeypatch.setattr("pyggml.backend.cuda.backend.padded", lambda step, n_batch: step)
    expected = results(runners("Q8_0")[1].executable)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
