"""Loading with layers on a GPU, for which another CPU backend stands: what is chosen, and memory that is full."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyggml
from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cpu.cache import CPUCache
from pyggml.backend.graph import Graph
from pyggml.backend.protocol import CacheShape, PictureStep, TowerHeads
from pyggml.backend.split import LayerSplit
from pyggml.engine import cache_shape
from pyggml.engine.needs import gpu_needs
from pyggml.errors import DeviceMemoryError, UsageError
from pyggml.gguf import GGUFFile
from pyggml.models import DecoderConfig, architecture_of
from pyggml.sharing import MARGIN
from pyggml.tower_needs import tower_needs
from pyggml_kernels.formats import FORMATS
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from tests.model.test_picture_answers import png
from tests.unit.cli_running import invoke
from tests.unit.fake_gpu import install_gpu

STORY = "Ravi was a curious boy who lived near the lighthouse."
N_CTX = 256


class FakeGPU(CPUBackend):
    """With memory for a few layers' keys and values, if a test says so."""

    most_layers = 1000
    n_looks = 0

    def __init__(self, n_batch: int, n_sequences: int, number: int) -> None:
        super().__init__(1, n_batch, n_sequences)
        self.number = number

    def look(self, graph: Graph, picture: PictureStep, heads: TowerHeads) -> npt.NDArray[np.float32]:
        FakeGPU.n_looks += 1
        return super().look(graph, picture, heads)

    def cache(self, shape: CacheShape) -> CPUCache:
        if shape.n_layers > self.most_layers:
            raise DeviceMemoryError(f"CUDA{self.number}'s memory is full: no room for the key/value cache")
        return super().cache(shape)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    return install_gpu(monkeypatch, FakeGPU)


@pytest.fixture(scope="module")
def config() -> DecoderConfig:
    file = GGUFFile.open(pyggml.demo_model())
    return DecoderConfig.from_file(file, architecture_of(file))


def load(n_gpu_layers: int | str, **options: Any) -> pyggml.Model:
    return pyggml.load(pyggml.demo_model(), n_ctx=N_CTX, n_threads=1, n_gpu_layers=n_gpu_layers, **options)


@pytest.mark.parametrize(("n_gpu_layers", "n"), [(0, 0), (1, 1), (3, 3), (8, 8), ("all", 9), ("auto", 9), (-1, 9)])
def test_the_numbers_are_the_same(gpu: Any, n_gpu_layers: int | str, n: int) -> None:
    model = load(n_gpu_layers)
    assert model.placement.n_on_gpu == n
    tokens = model.tokenize(STORY)
    np.testing.assert_array_equal(model.logits(tokens), load(0).logits(tokens))


@pytest.mark.parametrize("n_gpu_layers", [4, 7, "all", "auto"])
@pytest.mark.parametrize("options", [{}, {"tensor_split": (3, 1)}, {"devices": ("CUDA1", "CUDA0")}], ids=str)
def test_two_gpus(monkeypatch: pytest.MonkeyPatch, n_gpu_layers: int | str, options: dict[str, Any]) -> None:
    install_gpu(monkeypatch, FakeGPU, 2)
    model = load(n_gpu_layers, **options)
    assert {backend.number for backend in model.placement.layers if isinstance(backend, FakeGPU)} == {0, 1}
    tokens = model.tokenize(STORY)
    np.testing.assert_array_equal(model.logits(tokens), load(0).logits(tokens))


def test_what_layers_need(config: DecoderConfig) -> None:
    file = GGUFFile.open(pyggml.demo_model())
    shape = cache_shape(config, 1024, ("f16", "bf16"))
    needs = gpu_needs(file, config, FORMATS, shape, 64)
    sizes = {name: info.n_bytes or 0 for name, info in file.tensors.items()}
    layer = sum(size for name, size in sizes.items() if name.startswith("blk.0."))
    kept = 1024 * config.n_kv_heads * (config.key_size + config.value_size) * 2
    assert len(needs.layers) == config.n_layers + 1
    # Tiles are padded to 16 rows and 256 columns.
    assert layer + kept <= needs.layers[0] <= 1.1 * layer + kept
    assert sizes["token_embd.weight"] <= needs.layers[-1] <= 1.1 * sizes["token_embd.weight"]
    assert needs.shared >= 64 * 4 * (config.n_vocab + config.n_embd) + max(sizes.values())


def test_auto_takes_what_fits(gpu: Any, config: DecoderConfig) -> None:
    needs = gpu_needs(
        GGUFFile.open(pyggml.demo_model()), config, FORMATS, cache_shape(config, 512, ("f16", "f16")), 512
    )
    for n in (1, 4):
        gpu.free_bytes = lambda number, n=n: needs.of(n) + MARGIN
        model = load("auto")
        assert (model.placement.n_on_gpu, model.placement.n_fitting) == (n, n)
        assert isinstance(model.placement.executor, LayerSplit)


def test_memory_that_is_full_says_what_would_fit(
    gpu: Any, config: DecoderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeGPU, "most_layers", 2)
    needs = gpu_needs(
        GGUFFile.open(pyggml.demo_model()), config, FORMATS, cache_shape(config, 512, ("f16", "f16")), 512
    )
    gpu.free_bytes = lambda number: needs.of(3) + MARGIN
    with pytest.raises(
        DeviceMemoryError, match=r"no room for the key/value cache; use -ngl 3, a smaller context \(-c\)"
    ):
        load("all")
    assert load(3).placement.n_on_gpu == 3


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model that sees pictures, and its tower."""
    folder = tmp_path_factory.mktemp("seeing")
    text, tower = folder / "text.gguf", folder / "mmproj.gguf"
    random_model(text, RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3))
    random_tower(tower, RandomTower())
    return text, tower


def seeing_model(files: tuple[Path, Path], n_gpu_layers: int | str, **options: Any) -> pyggml.Model:
    text, tower = files
    return pyggml.load(
        text, mmproj=tower, image_max_tokens=30, n_ctx=N_CTX, n_threads=1, n_gpu_layers=n_gpu_layers, **options
    )


def answer(model: pyggml.Model) -> str:
    """The greedy answer to a picture."""
    greedy = pyggml.SamplingOptions(temperature=0.0)
    events = model.generate("the <__media__> and", images=[png(1)], sampling=greedy, max_tokens=12)
    return "".join(event.text for event in events if isinstance(event, pyggml.TextEvent))


@pytest.mark.parametrize("n_gpu_layers", [1, 2, "all", "auto"])
def test_answers_about_pictures_are_the_same(gpu: Any, seeing: tuple[Path, Path], n_gpu_layers: int | str) -> None:
    expected = answer(seeing_model(seeing, 0))
    assert answer(seeing_model(seeing, n_gpu_layers)) == expected
    assert answer(seeing_model(seeing, n_gpu_layers, mmproj_offload=False)) == expected
    assert answer(seeing_model(seeing, n_gpu_layers, kv_offload=False)) == expected


def test_the_tower_lies_beside_the_output(monkeypatch: pytest.MonkeyPatch, seeing: tuple[Path, Path]) -> None:
    install_gpu(monkeypatch, FakeGPU, 2)
    looked: list[int] = []
    look = FakeGPU.look

    def note(self: FakeGPU, *arguments: Any) -> npt.NDArray[np.float32]:
        looked.append(self.number)
        return look(self, *arguments)

    monkeypatch.setattr(FakeGPU, "look", note)
    for options, number in (({}, 1), ({"devices": ("CUDA1", "CUDA0")}, 0), ({"tensor_split": (1, 0)}, 0)):
        looked.clear()
        seeing_model(seeing, "all", **options).look([png(3)])
        assert looked == [number]


def test_the_tower_is_on_the_gpu_if_layers_are_there(
    gpu: Any, seeing: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for n_gpu_layers, offload, n_looks in (
        (1, True, 1),
        ("all", True, 1),
        (1, False, 0),
        ("all", False, 0),
        (0, True, 0),
    ):
        monkeypatch.setattr(FakeGPU, "n_looks", 0)
        seeing_model(seeing, n_gpu_layers, mmproj_offload=offload).look([png(2)])
        assert FakeGPU.n_looks == n_looks


def test_what_the_tower_needs_is_counted(gpu: Any, seeing: tuple[Path, Path]) -> None:
    file = GGUFFile.open(seeing[0])
    config = DecoderConfig.from_file(file, architecture_of(file))
    needs = gpu_needs(file, config, FORMATS, cache_shape(config, 2 * N_CTX, ("f16", "f16")), 512)
    tower = tower_needs(seeing[1], FORMATS, 30, N_CTX)
    n_all = config.n_layers + 1
    for n_free, offload, n in ((0, False, n_all), (tower, True, n_all), (tower - 1, True, n_all - 1)):
        gpu.free_bytes = lambda number, n_free=n_free: needs.of(n_all) + MARGIN + n_free
        assert seeing_model(seeing, "auto", mmproj_offload=offload).placement.n_on_gpu == n


def test_a_tower_that_a_gpu_does_not_take(gpu: Any, seeing: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "mmproj.gguf"
    random_tower(path, RandomTower(n_embd=528, n_head=4))
    with pytest.raises(UsageError, match="have 132 numbers; on a GPU they have 128 at most; use --no-mmproj-offload"):
        seeing_model((seeing[0], path), 1)
    assert seeing_model((seeing[0], path), 1, mmproj_offload=False).placement.n_on_gpu == 1


def test_heads_that_a_gpu_does_not_take(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyggml.backend.gpu_limits._LARGEST_SIZE", 16)
    with pytest.raises(
        UsageError, match=r"heads have keys of .* numbers; on a GPU allowed is a multiple of 16 up to 16"
    ):
        load(2)
    with pytest.warns(RuntimeWarning, match="all layers run on the CPU, none on a GPU: heads have keys of"):
        assert load("auto").placement.n_on_gpu == 0


def test_benchmarks_measure_what_is_asked(gpu: Any) -> None:
    arguments = ("bench", "-p", "8", "-n", "0", "-r", "1", "--no-warmup", "-o", "json")
    given = json.loads(invoke(*arguments, "-ngl", "0,3").stdout)
    assert [(each["backends"], each["n_gpu_layers"]) for each in given] == [("CPU", 0), ("CUDA", 3)]
    two = json.loads(invoke(*arguments, "-ngl", "3", "-ot", ",ffn=CPU", "-nkvo", "1", "-sm", "none").stdout)
    assert [each["tensor_buft_overrides"] for each in two] == ["none", "ffn=CPU"]
    assert all(each["no_kv_offload"] and each["split_mode"] == "none" for each in two)
    (fitting,) = json.loads(invoke(*arguments).stdout)
    assert (fitting["backends"], fitting["n_gpu_layers"]) == ("CUDA", -1)
