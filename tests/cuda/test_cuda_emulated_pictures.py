"""Answers about pictures on a GPU that the emulator stands for: logits as on the CPU, wherever layers and tower are."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

import pyggml
from pyggml.engine import Part, picture_prompt
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from pyggml_reference.structures import TensorType
from tests.cuda.emulated_device import EmulatedDevice
from tests.kernels.calling import nmse
from tests.model.test_picture_answers import png

N_BATCH = 11


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A text model of two layers and a tower, with random weights."""
    folder = tmp_path_factory.mktemp("pictures")
    text, tower = folder / "text.gguf", folder / "mmproj.gguf"
    shape = RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3, n_layers=2, tensor_type=TensorType.F16)
    random_model(text, shape)
    random_tower(tower, RandomTower(n_layers=1))
    return text, tower


def logits(files: tuple[Path, Path], n_gpu_layers: int | str, *, offload: bool = True) -> npt.NDArray[np.float32]:
    """What follows two pictures and words, in batches that cut the pictures."""
    text, tower = files
    model = pyggml.load(
        text,
        mmproj=tower,
        n_ctx=256,
        n_batch=N_BATCH,
        n_threads=1,
        image_max_tokens=12,
        n_gpu_layers=n_gpu_layers,
        mmproj_offload=offload,
    )
    pictures = model.look([png(1), png(2, 100, 40)])
    tokens, placed = picture_prompt(model.tokenizer, "the <__media__> and <__media__> hello", pictures)
    sequence = model.engine.new_sequence()
    for start in range(0, len(tokens), N_BATCH):
        part = tokens[start : start + N_BATCH]
        found = model.engine.step([Part(sequence, start, part, [len(part) - 1], placed)]).copy()
    return found


@pytest.mark.parametrize(("n_gpu_layers", "offload"), [("all", True), (2, True), (1, False), ("all", False)])
def test_what_follows_pictures(
    files: tuple[Path, Path], n_gpu_layers: int | str, offload: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = logits(files, 0)
    device = EmulatedDevice()
    device.install(monkeypatch)
    assert nmse(logits(files, n_gpu_layers, offload=offload), expected) < 1e-5
    assert any(each.startswith("attend_patches") for each in device.launched) == offload
    # The output alone turns nothing.
    n_angles = device.launched.count("section_angles") - 2 * offload
    assert (n_angles > 0) == (n_gpu_layers != 1)


def test_pictures_in_prompts_that_are_streamed(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = logits(files, 0)
    device = EmulatedDevice()
    device.install(monkeypatch)
    monkeypatch.setattr("pyggml.backend.streaming.LEAST_TOKENS", 4)
    assert nmse(logits(files, 1), expected) < 1e-5
    assert "section_angles" in device.launched
