"""Pictures against llama.cpp's mtmd: what the tower makes of them, where they lie in a prompt, the logits behind."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import pyggml
from pyggml.engine import Part, picture_prompt
from pyggml_reference.model import ReferenceModel
from pyggml_reference.pictures import ReferenceTower
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from pyggml_reference.structures import TensorType
from tests.model.divergence import divergence

#: As the issue asks: F16 weights, which round the activations too.
MAX_NMSE = 1e-4

TOWERS = {
    "qwen2-vl": RandomTower(),
    "qwen2-vl in float32": RandomTower(tensor_type=TensorType.F32),
    "with tanh": RandomTower(use_gelu=True, n_head=2),
    "names exchanged": RandomTower(has_exchanged_names=True),
    "qwen2.5-vl": RandomTower(is_second=True),
    "qwen2.5-vl, networks of 100": RandomTower(is_second=True, n_ff=100),
    "qwen2.5-vl, mostly windows": RandomTower(is_second=True, full_every=3, n_layers=4, n_head=2),
}
QUANTIZED = {
    "Q8_0": RandomTower(tensor_type=TensorType.Q8_0),
    "Q4_K": RandomTower(tensor_type=TensorType.Q4_K, n_embd=256, n_ff=512),
}
#: Sizes that grow, shrink to fewer than 60 tokens, keep, and pad at two sides.
SIZES = [(56, 84), (300, 200), (17, 95), (131, 130), (1, 1), (700, 40)]


def picture(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Smooth colours with noise on them, which resizing treats differently."""
    generator = np.random.default_rng(width * height)
    small = Image.fromarray(generator.integers(0, 256, (3, 4, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR)).astype(int)
    return np.clip(smooth + generator.integers(-40, 40, smooth.shape), 0, 255).astype(np.uint8)


def as_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def nmse(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    wide = expected.astype(np.float64)
    return float(((found - wide) ** 2).sum() / (wide**2).sum())


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "text.gguf"
    random_model(path, RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3, tensor_type=TensorType.F16))
    return path


@pytest.mark.parametrize("name", TOWERS)
def test_pictures_become_what_llama_cpp_makes_of_them(name: str, text_file: Path, tmp_path: Path) -> None:
    tower = tmp_path / "mmproj.gguf"
    random_tower(tower, TOWERS[name])
    model = pyggml.load(text_file, mmproj=tower, image_max_tokens=60)
    pixels = [picture(*size) for size in SIZES]
    with ReferenceModel(text_file) as text, ReferenceTower(tower, text, max_tokens=60) as reference:
        expected = [chunk for chunk in reference.chunks("<__media__>" * len(pixels), pixels) if not chunk.tokens]
    found = model.look([as_png(each) for each in pixels])
    assert [each.n_tokens for each in found] == [len(each.vectors) for each in expected]
    errors = {size: nmse(each.vectors, other.vectors) for size, each, other in zip(SIZES, found, expected, strict=True)}
    assert max(errors.values()) <= MAX_NMSE, errors


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_towers_are_as_close_to_llama_cpp_as_it_is_to_itself(
    name: str, text_file: Path, tmp_path: Path
) -> None:
    # Activations are rounded to 255 levels, which now and then turns the last bit into a whole level.
    tower = tmp_path / "mmproj.gguf"
    random_tower(tower, QUANTIZED[name])
    pixels = picture(300, 200)
    expected = {}
    for flash_attn in ("on", "off"):
        with (
            ReferenceModel(text_file) as text,
            ReferenceTower(tower, text, max_tokens=60, flash_attn=flash_attn) as reference,
        ):
            expected[flash_attn] = reference.chunks("<__media__>", [pixels])[1].vectors
    model = pyggml.load(text_file, mmproj=tower, image_max_tokens=60)
    error = nmse(model.look([as_png(pixels)])[0].vectors, expected["on"])
    assert error <= 1.5 * nmse(expected["off"], expected["on"])


def test_prompts_have_the_tokens_and_positions_of_llama_cpp(text_file: Path, tmp_path: Path) -> None:
    tower = tmp_path / "mmproj.gguf"
    random_tower(tower, RandomTower())
    model = pyggml.load(text_file, mmproj=tower, image_max_tokens=60)
    prompt = "<|im_start|>user\nthe and<__media__> in <__media__><__media__>hello<|im_end|>\n"
    pixels = [picture(200, 100), picture(90, 160), picture(60, 60)]
    with ReferenceModel(text_file) as text, ReferenceTower(tower, text, max_tokens=60) as reference:
        chunks = reference.chunks(prompt, pixels)
    tokens, placed = picture_prompt(model.tokenizer, prompt, model.look([as_png(each) for each in pixels]))
    index, position = 0, 0
    found = placed.positions(0, len(tokens))
    for chunk in chunks:
        n = len(chunk.tokens) or len(chunk.vectors)
        if chunk.tokens:
            assert tuple(tokens[index : index + n]) == chunk.tokens
            assert (found[index : index + n] == position + np.arange(n)[:, None]).all()
        else:
            assert len(set(tokens[index : index + n])) == 1
            np.testing.assert_array_equal(found[index : index + n], position + chunk.positions)
        index, position = index + n, position + chunk.n_positions
    assert index == len(tokens)


@pytest.mark.parametrize("n_batch", [512, 7])
def test_logits_behind_pictures_are_those_of_llama_cpp(n_batch: int, text_file: Path, tmp_path: Path) -> None:
    tower = tmp_path / "mmproj.gguf"
    random_tower(tower, RandomTower())
    model = pyggml.load(text_file, mmproj=tower, image_max_tokens=60, n_batch=n_batch)
    prompt = "the <__media__> and <__media__> hello"
    pixels = [picture(200, 100), picture(90, 160)]
    with ReferenceModel(text_file) as text, ReferenceTower(tower, text, max_tokens=60) as reference:
        expected = reference.logits(prompt, pixels)
    tokens, placed = picture_prompt(model.tokenizer, prompt, model.look([as_png(each) for each in pixels]))
    sequence = model.engine.new_sequence()
    for start in range(0, len(tokens), n_batch):
        part = tokens[start : start + n_batch]
        logits = model.engine.step([Part(sequence, start, part, [len(part) - 1], placed)])[0]
    assert divergence([expected[None]], [logits[None]]).mean_kl <= 1e-5
