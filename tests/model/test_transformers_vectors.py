"""Pictures as Hugging Face's transformers sees them, in float32: data that `transformers_vectors` made."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import pyggml
from pyggml.engine import Part, PlacedPictures
from pyggml.image import cut_into_patches, normalized
from pyggml_reference.random_model import random_model
from pyggml_reference.random_tower import random_tower
from pyggml_reference.transformers_vectors import SIZES, TEXT, TEXTS, TOWERS, picture, prompt_tokens

DATA = Path(__file__).parent.parent / "data"
MAX_NMSE = 1e-6
KINDS = pytest.mark.parametrize("kind", TOWERS)


def nmse(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    wide = expected.astype(np.float64)
    return float(((found - wide) ** 2).sum() / (wide**2).sum())


def vectors_of(kind: str) -> dict[str, npt.NDArray[np.float32]]:
    with np.load(DATA / f"transformers_{kind}.npz") as data:
        return dict(data)


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def model(kind: str, tmp_path: Path) -> pyggml.Model:
    random_model(tmp_path / "text.gguf", TEXT)
    random_tower(tmp_path / "mmproj.gguf", TOWERS[kind])
    return pyggml.load(
        tmp_path / "text.gguf",
        mmproj=tmp_path / "mmproj.gguf",
        image_min_tokens=1,
        cache_type_k="f32",
        cache_type_v="f32",
    )


@KINDS
def test_patches_have_the_same_bits(kind: str) -> None:
    expected = vectors_of(kind)["patches"]
    patches, _ = cut_into_patches(normalized(picture(*SIZES[0]), [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]), 14)
    # Theirs have each frame of a film apart, of which a picture has two that are the same.
    frames = expected.reshape(len(expected), 3, 2, 14 * 14)
    for frame in (0, 1):
        np.testing.assert_array_equal(patches, frames[:, :, frame].reshape(len(expected), -1))


@KINDS
def test_the_tower_sees_the_same(kind: str, model: pyggml.Model) -> None:
    expected = vectors_of(kind)
    for index, size in enumerate(SIZES):
        assert nmse(model.look([png(*size)])[0].vectors, expected[f"vectors_{index}"]) <= MAX_NMSE


@KINDS
def test_two_pictures_in_a_prompt_give_the_same_logits(kind: str, model: pyggml.Model) -> None:
    seen = model.look([png(*SIZES[0]), png(*SIZES[2])])
    tokens = prompt_tokens(*(each.n_tokens for each in seen))
    first = len(TEXTS[0]) + 1
    second = first + seen[0].n_tokens + 1 + len(TEXTS[1]) + 1
    for start, each in ((first, seen[0]), (second, seen[1])):
        tokens[start : start + each.n_tokens] = [each.token] * each.n_tokens
    outputs = [index for index, token in enumerate(tokens) if token >= 0]
    placed = PlacedPictures(((first, seen[0]), (second, seen[1])))
    logits = model.engine.step([Part(model.engine.new_sequence(), 0, tokens, outputs, placed)])
    assert nmse(logits, vectors_of(kind)["logits"]) <= MAX_NMSE
