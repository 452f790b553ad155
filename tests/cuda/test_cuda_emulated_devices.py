"""Whole decoders shared out among emulated GPUs and the CPU: the numbers are those of one device."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyggml

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; placement is tested without it")

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cuda import CUDABackend
from pyggml.backend.graph import Graph, Linear
from pyggml.backend.overrides import TensorOverride
from pyggml.backend.protocol import Backend
from pyggml.backend.split import LayerSplit
from pyggml_reference.random_model import RandomModel, random_model
from tests.cuda.emulated_device import EmulatedDevice
from tests.cuda.test_cuda_emulated_model import SHAPE, TEXT, nmse
from tests.kernels.small_decoder import N_BATCH, N_SEQUENCES, Decoder, Runner

SIZES = [9, 1, 2]

Floats = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> EmulatedDevice:
    emulated = EmulatedDevice()
    emulated.install(monkeypatch)
    return emulated


def gpu(number: int) -> CUDABackend:
    return CUDABackend(N_BATCH, N_SEQUENCES, number)


def cpu() -> CPUBackend:
    return CPUBackend(1, N_BATCH, N_SEQUENCES)


class PlacedDecoder(Decoder):
    """Each weight on the device of its layer, or where an override takes it."""

    def __init__(self, layers: Sequence[Backend], overrides: Sequence[TensorOverride[Backend]]) -> None:
        super().__init__("Q4_K", True)
        self._layers = layers
        self._overrides = overrides

    def _place(self, backend: Any, name: str) -> Any:
        layer = int(name.split(".")[1]) if name.startswith("blk.") else -1 if name.startswith("output") else 0
        taking = [each for each in self._overrides if each.takes(name) and name != "token_embd.weight"]
        return super()._place(taking[0] if taking else self._layers[layer], name)  # type: ignore[arg-type]  # any store

    def cut(self) -> Graph:
        """The graph with its layers marked."""
        graph = self.graph(cpu())
        norms = [node.output.index - 1 for node in graph.nodes if isinstance(node, Linear)]
        graph.layer_starts = [norms[0], norms[7], norms[14]]
        return graph


def logits(
    layers: Sequence[Backend], keeper: Backend | None = None, overrides: Sequence[TensorOverride[Backend]] = ()
) -> Floats:
    """Those of all tokens of the text, read by these devices."""
    decoder = PlacedDecoder(layers, overrides)
    runner = Runner(decoder_on_the_cpu(), cache_format="f16")
    split = LayerSplit(layers, keeper, overrides)
    runner.executable = split.compile(decoder.cut(), split.cache(SHAPE))  # type: ignore[assignment]  # of another device
    return runner.read(TEXT[:12], SIZES)


def decoder_on_the_cpu() -> Decoder:
    return Decoder("Q4_K", True)


@pytest.fixture
def exact() -> Floats:
    """What the CPU computes."""
    return Runner(decoder_on_the_cpu(), cache_format="f16").read(TEXT[:12], SIZES)


def test_layers_on_two_gpus(exact: Floats) -> None:
    one, first, second = gpu(0), gpu(0), gpu(1)
    whole = logits([one] * 3)
    assert nmse(whole, exact) < 1e-4
    assert whole.tobytes() == logits([first, second, second]).tobytes()
    assert nmse(logits([cpu(), first, second]), exact) < 1e-4


def test_attention_in_main_memory(device: EmulatedDevice, exact: Floats) -> None:
    home, keeper = gpu(0), cpu()
    assert nmse(logits([home] * 3, keeper), exact) < 1e-4
    assert not any("attend" in name for name in device.launched)
    assert nmse(logits([keeper, home, home], keeper), exact) < 1e-4


@pytest.mark.parametrize("pattern", ["ffn_", "attn_q|ffn_down", "^output"])
def test_weights_in_main_memory(pattern: str, exact: Floats) -> None:
    home, main_memory = gpu(0), cpu()
    assert nmse(logits([home] * 3, None, [TensorOverride(pattern, main_memory)]), exact) < 1e-4
    # The other way round.
    assert nmse(logits([main_memory] * 3, None, [TensorOverride(pattern, home)]), exact) < 1e-4


def test_weights_on_another_gpu() -> None:
    home, other = gpu(0), gpu(1)
    overrides: list[TensorOverride[Backend]] = [TensorOverride("attn_output|ffn_", other)]
    assert logits([home] * 3, None, overrides).tobytes() == logits([gpu(0)] * 3).tobytes()


@pytest.mark.parametrize(
    ("n_gpu_layers", "options", "numbers"),
    [
        ("all", {}, [0, 1]),
        ("all", {"tensor_split": (3, 1)}, [0, 1]),
        (2, {"devices": ["CUDA1"]}, [1]),
        ("auto", {"split_mode": "none", "main_gpu": 1, "kv_offload": False, "cache_type_k": "f32"}, [1]),
        (0, {"override_tensor": [("blk.1.ffn_", "CUDA1")]}, []),
    ],
)
def test_a_model_is_loaded_as_asked(
    n_gpu_layers: int | str, options: dict[str, Any], numbers: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel("qwen2", n_layers=3))
    cpu_options = {name: value for name, value in options.items() if name == "cache_type_k"}
    expected = pyggml.load(path, n_ctx=256, n_threads=1, **cpu_options).logits(TEXT[:9])
    model = pyggml.load(path, n_ctx=256, n_threads=1, n_gpu_layers=n_gpu_layers, **options)
    gpus = [each for each in model.placement.layers if isinstance(each, CUDABackend)]
    assert sorted({each._number for each in gpus}) == numbers
    assert nmse(model.logits(TEXT[:9]), expected) < 1e-4
