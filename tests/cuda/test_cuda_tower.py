"""Vision towers become launches; how a picture is cut into tiles, and what it takes of memory. On a device that keeps
books."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pyggml.backend.cuda import CUDABackend, cache
from pyggml.backend.protocol import PictureStep, TowerHeads
from pyggml.backend.tower_graph import TowerGraph
from pyggml.errors import DeviceMemoryError, UsageError
from pyggml.tower import Tower
from pyggml.tower_needs import tower_needs
from pyggml_cuda import patch_attention
from pyggml_cuda.patch_attention import PatchHeads
from pyggml_kernels.formats import FORMATS
from pyggml_reference import cuda_twins as twins
from pyggml_reference.random_tower import RandomTower, random_tower
from pyggml_reference.structures import TensorType
from tests.cuda.fake_device import FakeDevice
from tests.cuda.test_cuda_lowering import FakeStore

HALVES = "Rounded<false>"
N_CTX = 1 << 20
SHAPES = {
    "qwen2-vl": RandomTower(),
    "heads of 80": RandomTower(n_embd=320, n_ff=1280),
    "heads of 36": RandomTower(n_embd=144, n_ff=160),
    "F32": RandomTower(tensor_type=TensorType.F32),
    "Q8_0": RandomTower(tensor_type=TensorType.Q8_0, n_embd=256, n_ff=512),
    "qwen2.5-vl": RandomTower(is_second=True),
}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()
    fake.install(monkeypatch)
    monkeypatch.setattr(cache, "RowStore", FakeStore)
    return fake


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (10, 200, 90)).save(file, "PNG")
    return file.getvalue()


def placed(shape: RandomTower, folder: Path) -> Tower:
    path = folder / "tower.gguf"
    random_tower(path, shape)
    return Tower(path, CUDABackend(1, 1), shape.n_out, N_CTX)


def names_of(device: FakeDevice, shape: RandomTower, folder: Path, size: tuple[int, int] = (280, 280)) -> list[str]:
    """What is launched for a picture."""
    tower = placed(shape, folder)
    device.launched.clear()
    picture = tower.look(png(*size))
    assert picture.vectors.shape == (picture.n_tokens, shape.n_out)
    return device.names()


def test_a_layer_of_qwen2_vl(device: FakeDevice, tmp_path: Path) -> None:
    # Products are cuBLAS's, and have their biases added behind them where nothing else reads them.
    layer = [
        f"convert<LayerNorm, {HALVES}>",
        "place_heads",
        "attend_patches<16, 1>",
        f"convert<Plain, {HALVES}>",
        "finish_product",
        f"convert<LayerNorm, {HALVES}>",
        f"convert<GELU<true>, {HALVES}>",
        "finish_product",
    ]
    end = [
        "convert<LayerNorm, Floats>",
        f"convert<Plain, {HALVES}>",
        f"convert<GELU<false>, {HALVES}>",
        "finish_product",
        "select_rows",
    ]
    begin = ["section_angles", f"convert<Plain, {HALVES}>", "add"]
    assert names_of(device, RandomTower(n_layers=2), tmp_path) == [*begin, *layer, *layer, *end]


def test_a_layer_of_qwen2_5_vl(device: FakeDevice, tmp_path: Path) -> None:
    names = names_of(device, RandomTower(is_second=True, n_layers=1), tmp_path)
    layer = names[3:-6]
    assert layer[0] == f"convert<RMSNorm, {HALVES}>"
    assert f"convert<SwiGLU, {HALVES}>" in layer
    assert not any("LayerNorm" in name or "GELU<true>" in name for name in layer)


def test_layers_that_see_windows_have_tiles_of_their_own(device: FakeDevice, tmp_path: Path) -> None:
    names_of(device, RandomTower(is_second=True, n_layers=4, full_every=2), tmp_path)
    launches: list[Any] = [each for each in device.launched if each.kernel.expression.startswith("attend_patches")]
    # 10 x 10 merged patches: 400 patches, and 9 windows of 64, 32, 16 patches.
    assert [each.grid for each in launches] == [(9, 4, 1), (7, 4, 1)] * 2
    windowed, whole = (each.arguments[0]["tiles"] for each in launches[:2])
    assert windowed - whole == 7 * 16


def test_bfloats_are_rounded_through(device: FakeDevice, tmp_path: Path) -> None:
    for kind, through in ((TensorType.BF16, 1), (TensorType.F16, 0), (TensorType.F32, 0)):
        names_of(device, RandomTower(tensor_type=kind), tmp_path)
        heads: Any = next(each for each in device.launched if each.kernel.expression == "place_heads")
        assert heads.arguments[0]["through_bfloats"] == through
        assert heads.grid[1] == 3


def test_quantized_weights_go_through_the_kernels_for_them(device: FakeDevice, tmp_path: Path) -> None:
    names = names_of(device, SHAPES["Q8_0"], tmp_path)
    assert any(name.startswith("matmul_many<Q8_0") for name in names)
    assert "convert<GELU<true>, Quantized<Block::Q8_0, Sums::NONE, 32>>" in names


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_counted_is_enough_and_not_much_more(device: FakeDevice, name: str, tmp_path: Path) -> None:
    n_tokens, path = 400, tmp_path / "tower.gguf"
    tower = placed(SHAPES[name], tmp_path)
    weights = sum(device.allocated)
    assert tower.look(png(560, 560)).n_tokens == n_tokens
    taken = sum(device.allocated)
    counted = tower_needs(path, FORMATS, n_tokens, N_CTX)
    assert taken <= counted <= 1.5 * (taken - weights) + weights


def test_a_picture_of_four_megapixels_takes_less_than_a_gigabyte(tmp_path: Path) -> None:
    # A layer as wide as those of Qwen2-VL: there are 32 of them, which share the memory.
    path = tmp_path / "tower.gguf"
    random_tower(path, RandomTower(n_layers=1, n_embd=1280, n_head=16, n_ff=5120, n_out=1536))
    n_tokens = 4_000_000 // 28**2
    one, all_of_it = (tower_needs(path, FORMATS, n, N_CTX) for n in (1, n_tokens))
    assert all_of_it - one < 1 << 30


def test_heads_that_are_too_large(tmp_path: Path) -> None:
    path = tmp_path / "tower.gguf"
    random_tower(path, RandomTower(n_embd=528, n_head=4))
    with pytest.raises(UsageError, match=r"heads of the vision tower have 132 numbers; on a GPU they have 128 at most"):
        tower_needs(path, FORMATS, 0, N_CTX)


def test_pictures_that_are_too_large(device: FakeDevice) -> None:
    zeros = np.zeros(65540, np.int32)
    picture = PictureStep(np.zeros((65540, 8), np.float32), np.stack([zeros, zeros], 1), zeros, zeros[:16385])
    with pytest.raises(UsageError, match="has 65540 patches; on a GPU they are 65535 at most: use a smaller"):
        CUDABackend(1, 1).look(TowerGraph(), picture, TowerHeads(1, 16, "f16"))


def test_full_memory(device: FakeDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = placed(RandomTower(), tmp_path)

    def refuse(n_bytes: int) -> None:
        raise MemoryError(f"out of memory allocating {n_bytes} bytes")

    monkeypatch.setattr("pyggml_cuda.device.allocate", refuse)
    with pytest.raises(DeviceMemoryError, match="no room for a picture of 400 patches; a smaller --image-max-tokens"):
        tower.look(png(280, 280))


@settings(max_examples=200, deadline=None)
@given(sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=6), head_size=st.sampled_from([32, 80, 128]))
def test_every_patch_is_in_one_tile_and_sees_its_window(sizes: list[int], head_size: int) -> None:
    windows = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    tiles = patch_attention.cut(windows, head_size)
    seen = [patch for first, n, _, _ in tiles.rows for patch in range(first, first + n)]
    assert seen == list(range(len(windows)))
    for first, n, begin, end in tiles.rows:
        assert 1 <= n <= 64 * tiles.n_groups
        assert (np.flatnonzero(windows == windows[first]) == np.arange(begin, end)).all()
        assert windows[first + n - 1] == windows[first]
    assert tiles.n_groups == 1 or head_size <= 80


def test_heads_are_padded_to_what_the_tensor_cores_take() -> None:
    assert [PatchHeads(1, 1, size).padded_size for size in (4, 16, 36, 80, 128)] == [16, 16, 48, 80, 128]
    launch = patch_attention.attend(PatchHeads(100, 3, 36), (1, 2, 3), 4, 5, 7, 1)
    assert launch.kernel.expression == "attend_patches<48, 1>"
    assert launch.grid == (7, 3, 1)
    # Two stages of 64 keys and values.
    assert launch.shared_bytes == 2 * 2 * 64 * 56 * 2


def test_the_twin_of_attention_is_that_of_a_decoder_which_sees_all() -> None:
    generator = np.random.default_rng(0)
    q, k, v = (generator.standard_normal((12, 2, 8)) for _ in range(3))
    windows = np.repeat([0, 1], [5, 7]).astype(np.int32)
    found = twins.attend_patches(q * np.log2(np.e) * 0.3, k, v, windows)
    for own in (windows == 0, windows == 1):
        last = np.full(own.sum(), own.sum() - 1, np.int32)
        np.testing.assert_allclose(found[own], twins.attend(q[own], k[own], v[own], last, 0.3), rtol=1e-12)
