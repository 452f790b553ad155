"""How a picture is cut up on the CPU changes nothing: blocks of patches not a bit, pages of keys what rounding does."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import pyggml
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from pyggml_reference.structures import TensorType

TOWERS = {
    "qwen2-vl": RandomTower(),
    "Q8_0": RandomTower(tensor_type=TensorType.Q8_0),
    "qwen2.5-vl": RandomTower(is_second=True, n_layers=4),
}
#: With other weights activations are rounded, which makes more of a last bit.
FLOATS = RandomTower(tensor_type=TensorType.F32)
#: 22 rows of 24 patches.
WIDTH, HEIGHT = 336, 308


def png() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def seen(tower: RandomTower, folder: Path, n_threads: int) -> npt.NDArray[np.float32]:
    random_model(folder / "text.gguf", RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3))
    random_tower(folder / "mmproj.gguf", tower)
    model = pyggml.load(folder / "text.gguf", mmproj=folder / "mmproj.gguf", n_threads=n_threads)
    return model.look([png()])[0].vectors


@pytest.mark.parametrize("name", TOWERS)
def test_blocks_change_no_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = seen(TOWERS[name], tmp_path, 1)
    for n_patches in (4, 52, 264):
        monkeypatch.setattr("pyggml.backend.cpu.tower.BLOCK_PATCHES", n_patches)
        np.testing.assert_array_equal(seen(TOWERS[name], tmp_path, 2), expected)


def test_pages_change_the_last_bits_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = seen(FLOATS, tmp_path, 1).astype(np.float64)
    monkeypatch.setattr("pyggml.backend.cpu.sight._MOST_IN_A_PAGE", 32)
    found = seen(FLOATS, tmp_path, 2)
    assert 0 < ((found - expected) ** 2).sum() <= 1e-11 * (expected**2).sum()
