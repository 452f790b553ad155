"""Pictures beside Hugging Face's transformers itself: pip install -e '.[transformers]', pytest -m transformers.

Heads, sections, windows and ratios are those of Qwen2-VL-2B and Qwen2.5-VL-3B; widths and layers are fewer.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

import pyggml
from pyggml.engine import Part, Picture
from pyggml.image import cut_into_patches, fit_to_patches, normalized
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from pyggml_reference.structures import TensorType
from pyggml_reference.transformers_model import IMAGE, Seen, TransformersModel, prompt_tokens
from tests.model.shown_pictures import nmse, one_frame, placed, png

# Torch warns of itself while it is imported.
pytestmark = [pytest.mark.transformers, pytest.mark.filterwarnings("ignore")]

MAX_NMSE = 1e-6
TEXT = RandomModel(
    "qwen2vl",
    n_embd=256,
    n_head=2,
    n_head_kv=1,
    n_ff=640,
    rope_freq_base=1e6,
    sections=(16, 24, 24),
    n_extra_tokens=3,
)
_TOWER = RandomTower(n_layers=6, n_embd=160, n_head=2, n_ff=640, n_out=256, tensor_type=TensorType.F32)
TOWERS = {
    "qwen2-vl": _TOWER,
    "qwen2.5-vl": replace(_TOWER, is_second=True, n_layers=8, full_every=4, n_ff=428),
}
#: Width and height: resized, padded at a side, and larger than a window in both directions.
SIZES = ((333, 250), (95, 410), (500, 500))
TEXTS = ((5, 9, 70, 200), (33, 2), (7, 7, 100))


def picture(width: int, height: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)


@dataclass(frozen=True)
class Both:
    """The two models, and what they see of each picture."""

    model: pyggml.Model
    pictures: list[Picture]
    reference: TransformersModel
    expected: list[Seen]


@pytest.fixture(scope="module", params=TOWERS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder, tower = tmp_path_factory.mktemp("live"), TOWERS[request.param]
    text, mmproj = folder / "text.gguf", folder / "mmproj.gguf"
    random_model(text, TEXT)
    random_tower(mmproj, tower)
    model = pyggml.load(text, mmproj=mmproj, cache_type_k="f32", cache_type_v="f32")
    reference = TransformersModel(tower, TEXT)
    expected = [reference.see(resized(model, size)) for size in SIZES]
    return Both(model, model.look([png(picture(*size)) for size in SIZES]), reference, expected)


def resized(model: pyggml.Model, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    assert model.tower is not None
    return fit_to_patches(picture(*size), model.tower.limits)


def test_patches_have_the_same_bits(both: Both) -> None:
    assert both.model.tower is not None
    config = both.model.tower.config
    for size, each in zip(SIZES, both.expected, strict=True):
        pixels = normalized(resized(both.model, size), config.image_mean, config.image_std)
        patches, grid = cut_into_patches(pixels, config.patch_size)
        assert (grid.n_rows, grid.n_columns) == (each.grid[0] // 2, each.grid[1] // 2)
        np.testing.assert_array_equal(patches, one_frame(each.patches))


def test_the_tower_sees_the_same(both: Both) -> None:
    pairs = zip(SIZES, both.pictures, both.expected, strict=True)
    errors = {size: nmse(ours.vectors, theirs.vectors) for size, ours, theirs in pairs}
    assert max(errors.values()) <= MAX_NMSE, errors


def test_two_pictures_in_a_prompt_have_the_same_positions_and_logits(both: Both) -> None:
    ours, theirs = both.pictures[::2], both.expected[::2]
    prompt = prompt_tokens(TEXTS, [each.n_tokens for each in ours])
    tokens, pictures = placed(prompt, ours)
    np.testing.assert_array_equal(pictures.positions(0, len(tokens)), both.reference.positions(prompt, theirs))
    outputs = [index for index, token in enumerate(prompt) if token != IMAGE]
    logits = both.model.engine.step([Part(both.model.engine.new_sequence(), 0, tokens, outputs, pictures)])
    assert nmse(logits, both.reference.logits(prompt, theirs)[outputs]) <= MAX_NMSE
