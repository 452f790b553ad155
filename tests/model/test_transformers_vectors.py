"""Pictures as Hugging Face's transformers sees them, in float32: data that `transformers_vectors` made."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import pyggml
from pyggml.engine import Part
from pyggml.image import cut_into_patches, normalized
from pyggml_reference.random_model import random_model
from pyggml_reference.random_tower import random_tower
from pyggml_reference.transformers_model import IMAGE, prompt_tokens
from pyggml_reference.transformers_vectors import SIZES, TEXT, TEXTS, TOWERS, picture
from tests.model.shown_pictures import nmse, one_frame, placed, png

DATA = Path(__file__).parent.parent / "data"
MAX_NMSE = 1e-6
KINDS = pytest.mark.parametrize("kind", TOWERS)


def vectors_of(kind: str) -> dict[str, npt.NDArray[np.float32]]:
    with np.load(DATA / f"transformers_{kind}.npz") as data:
        return dict(data)


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
    np.testing.assert_array_equal(patches, one_frame(expected))


@KINDS
def test_the_tower_sees_the_same(kind: str, model: pyggml.Model) -> None:
    expected = vectors_of(kind)
    for index, size in enumerate(SIZES):
        assert nmse(model.look([png(picture(*size))])[0].vectors, expected[f"vectors_{index}"]) <= MAX_NMSE


@KINDS
def test_two_pictures_in_a_prompt_give_the_same_logits(kind: str, model: pyggml.Model) -> None:
    seen = model.look([png(picture(*SIZES[index])) for index in (0, 2)])
    tokens = prompt_tokens(TEXTS, [each.n_tokens for each in seen])
    outputs = [index for index, token in enumerate(tokens) if token != IMAGE]
    tokens, pictures = placed(tokens, seen)
    logits = model.engine.step([Part(model.engine.new_sequence(), 0, tokens, outputs, pictures)])
    assert nmse(logits, vectors_of(kind)["logits"]) <= MAX_NMSE
