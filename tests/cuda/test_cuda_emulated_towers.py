"""Vision towers on a GPU that the emulator stands for: kernels beside their twins, towers beside the CPU's.

They are the checks of benchmarks/cuda, in small shapes.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

from benchmarks.cuda import kernels, towers
from tests.cuda.emulated_device import EmulatedDevice, Stream


class Event:
    """A moment."""

    def record(self, stream: Stream) -> None:
        pass


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedDevice]:
    device = EmulatedDevice()
    device.install(monkeypatch)
    for module in (kernels, towers):
        monkeypatch.setattr(module, "cupy", device.cupy)
        monkeypatch.setattr(module, "Stream", Stream)
    monkeypatch.setattr(kernels, "failures", [])
    yield device
    assert not kernels.failures


def test_norms_and_activations() -> None:
    towers.check_sources()


@pytest.mark.parametrize(
    ("n_heads", "size", "window_sizes", "n_groups"),
    [
        (2, 32, [20], 1),
        (1, 80, [200], 2),
        (1, 80, [70], 1),
        (2, 16, [64, 32, 4, 65], 1),
        (2, 36, [1, 66], 1),
        (1, 128, [67], 1),
        (1, 64, [63, 129], 2),
    ],
)
def test_attention_over_patches(n_heads: int, size: int, window_sizes: list[int], n_groups: int) -> None:
    towers.check_attention(n_heads, size, window_sizes, n_groups=n_groups)


def test_attention_through_bfloats() -> None:
    towers.check_attention(1, 32, [40], through_bfloats=True)


@pytest.mark.parametrize("name", [name for name in towers.TOWERS if "Q4_K" not in name])
def test_towers_see_what_they_see_on_the_cpu(name: str) -> None:
    towers.check_tower(name, [(60, 90)])


def test_windows_of_different_sizes() -> None:
    towers.check_tower("qwen2.5-vl", [(150, 120)])


def test_a_picture_is_timed(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(towers, "Event", Event)
    monkeypatch.setattr(towers, "get_elapsed_time", lambda begin, end: 2.0)
    monkeypatch.setattr(towers, "used_bytes", lambda: 5_000_000)
    monkeypatch.setattr(towers, "CONFIG", replace(towers.CONFIG, n_layers=1, n_embd=64, n_heads=4, n_out=8))
    monkeypatch.setattr(towers, "N_FF", 64)
    first, alone, *kinds = towers.time_tower(4, 2)
    assert first.startswith("64 patches: ")
    assert first.endswith("; 5 MB of memory with the weights")
    # The products of patches, of a layer and of the merger.
    assert next(line for line in kinds if "cuBLAS" in line).split() == ["cuBLAS", f"{2.0 * (2 + 6 + 2):.2f}", "ms"]
    assert float(alone.split()[2]) == sum(float(line.split()[-2]) for line in kinds)
