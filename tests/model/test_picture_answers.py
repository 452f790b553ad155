"""Questions about pictures, answered: by the trained model, from Python, and with what is wrong refused."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyggml
from pyggml.engine import Event
from pyggml.errors import ImageError, ModelError, PromptTooLongError, UsageError
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from tests.model.rewriting import rewrite

GREEDY = pyggml.SamplingOptions(temperature=0.0)


def png(seed: int, width: int = 60, height: int = 90) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def text_of(events: Iterator[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, pyggml.TextEvent))


def done(events: Iterator[Event]) -> pyggml.DoneEvent:
    *_, last = events
    assert isinstance(last, pyggml.DoneEvent)
    return last


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A text model and a tower with random weights."""
    folder = tmp_path_factory.mktemp("random")
    text, tower = folder / "text.gguf", folder / "mmproj.gguf"
    random_model(text, RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3))
    random_tower(tower, RandomTower())
    return text, tower


@pytest.fixture(scope="module")
def model(files: tuple[Path, Path]) -> pyggml.Model:
    return pyggml.load(files[0], mmproj=files[1], image_max_tokens=30)


def test_all_answers_are_those_of_llama_cpp(shared: Path) -> None:
    folder = shared / "models"
    model = pyggml.load(folder / "demo-vl-f16.gguf", mmproj=folder / "demo-vl-mmproj-f16.gguf", n_ctx=512)
    for each in json.loads((folder / "pictures" / "answers.json").read_text(encoding="utf-8")):
        message, picture = {"role": "user", "content": each["prompt"]}, folder / "pictures" / each["file"]
        events = model.chat([message], chat_template="chatml", images=[picture], sampling=GREEDY)
        assert text_of(events) == each["answer"], (each["file"], each["prompt"])


def test_pictures_given_as_paths_and_bytes_are_the_same(model: pyggml.Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(1))
    first = text_of(model.generate("<__media__> the", images=[path], sampling=GREEDY, max_tokens=8))
    assert text_of(model.generate(" the", images=[png(1)], sampling=GREEDY, max_tokens=8)) == first


def test_only_what_prompts_share_up_to_a_different_picture_is_taken_from_the_cache(model: pyggml.Model) -> None:
    one, other = png(3), png(4)

    def run(*images: bytes) -> pyggml.DoneEvent:
        return done(model.generate("the <__media__> and <__media__>", images=images, sampling=GREEDY, max_tokens=1))

    run(one, one)
    n_prompt = run(one, one).timings.n_cached + 1
    n_picture = model.look([one])[0].n_tokens
    assert run(one, other).timings.n_cached == n_prompt - n_picture - 1  # behind the picture is a token that ends it
    assert run(other, other).timings.n_cached < n_picture


def test_an_answer_does_not_depend_on_what_the_cache_has(model: pyggml.Model, files: tuple[Path, Path]) -> None:
    prompt, images = "the <__media__> and <__media__> in", [png(5), png(6, 90, 30)]
    model.look(images)
    list(model.generate("the <__media__> and <__media__>", images=[png(5), png(5)], sampling=GREEDY, max_tokens=3))
    warm = text_of(model.generate(prompt, images=images, sampling=GREEDY, max_tokens=12))
    fresh = pyggml.load(files[0], mmproj=files[1], image_max_tokens=30, n_batch=5, n_threads=1)
    assert text_of(fresh.generate(prompt, images=images, sampling=GREEDY, max_tokens=12)) == warm


def test_pictures_need_a_tower(files: tuple[Path, Path]) -> None:
    model = pyggml.load(files[0])
    with pytest.raises(UsageError, match=r"loaded without a vision tower, and sees no pictures: give .* with --mmproj"):
        model.generate("the", images=[png(0)])


def test_tokens_have_no_place_for_pictures(model: pyggml.Model) -> None:
    with pytest.raises(UsageError, match="given as tokens, which have no place for pictures: give it as text"):
        model.generate([1, 2], images=[png(0)])


def test_a_picture_that_does_not_fit_the_context_is_refused(files: tuple[Path, Path]) -> None:
    model = pyggml.load(files[0], mmproj=files[1], n_ctx=256)
    message = r"the picture: the picture takes 324 tokens, and the context holds 256 .* --image-max-tokens"
    with pytest.raises(PromptTooLongError, match=message):
        model.generate("the", images=[png(0, 500, 500)])


def test_a_missing_picture_is_named(model: pyggml.Model, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: the picture cannot be read: No such file"):
        model.generate("the", images=[tmp_path / "none.png"])


def test_tokens_below_0_are_refused_without_their_picture(model: pyggml.Model) -> None:
    with pytest.raises(UsageError, match="token -5 is not in the vocabulary"):
        model.generate([-5])


def test_a_tower_of_another_width_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    random_tower(tmp_path / "wide.gguf", RandomTower(n_out=128))
    with pytest.raises(ModelError, match=r"vectors of 128 numbers, and the model's .* have 64: .* another model"):
        pyggml.load(files[0], mmproj=tmp_path / "wide.gguf")


def test_a_model_without_eyes_takes_no_tower(files: tuple[Path, Path], tmp_path: Path) -> None:
    random_model(tmp_path / "blind.gguf", RandomModel())
    with pytest.raises(UsageError, match="a model of the architecture qwen2 sees no pictures"):
        pyggml.load(tmp_path / "blind.gguf", mmproj=files[1])


def test_a_text_model_is_no_tower(files: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match=r"general.architecture is 'qwen2vl'; a file for --mmproj has 'clip'"):
        pyggml.load(files[0], mmproj=files[0])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("clip.projector_type", "resampler", "is 'resampler', which is not supported; supported: qwen2vl_merger"),
        ("clip.vision.attention.head_count", 3, "clip.vision.embedding_length is 64; with 3 heads .* a multiple of 12"),
        ("clip.vision.image_mean", [0.5], "clip.vision.image_mean has 1 numbers; it has to have 3"),
        ("clip.vision.spatial_merge_size", 3, "spatial_merge_size is 3; only 2 is supported"),
        ("clip.vision.block_count", 4, r"tensor 'v\.blk\.3\.(ln1|ffn_down)\.weight' is missing"),
    ],
)
def test_an_unsound_tower_is_refused(
    key: str, value: object, message: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    rewrite(files[1], tmp_path / "bad.gguf", {key: value})
    with pytest.raises(ModelError, match=message):
        pyggml.load(files[0], mmproj=tmp_path / "bad.gguf")


def test_a_full_context_cannot_be_shifted(model: pyggml.Model) -> None:
    assert not model.engine.can_shift


@pytest.mark.parametrize(
    ("sections", "message"),
    [([2, 3, 4, 0], "supported are three sections that are 8 pairs together"), ([8], "dimension_sections is")],
)
def test_unsound_sections_are_refused(
    sections: list[int], message: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    rewrite(files[0], tmp_path / "bad.gguf", {"qwen2vl.rope.dimension_sections": sections})
    with pytest.raises(ModelError, match=message):
        pyggml.load(tmp_path / "bad.gguf")


def test_yarn_is_refused_where_tokens_have_several_positions(files: tuple[Path, Path], tmp_path: Path) -> None:
    rewrite(files[0], tmp_path / "bad.gguf", {"qwen2vl.rope.scaling.type": "yarn"})
    with pytest.raises(ModelError, match="is 'yarn'; for a model that sees pictures, none and linear are supported"):
        pyggml.load(tmp_path / "bad.gguf")


def test_limits_of_tokens_have_to_make_sense(files: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="image_min_tokens must not be larger than image_max_tokens"):
        pyggml.load(files[0], mmproj=files[1], image_min_tokens=20, image_max_tokens=10)
    with pytest.raises(UsageError, match="image_max_tokens is -1; allowed are 1 to 65536"):
        pyggml.load(files[0], mmproj=files[1], image_max_tokens=-1)


def test_limits_of_tokens_are_kept(files: tuple[Path, Path]) -> None:
    model = pyggml.load(files[0], mmproj=files[1], image_min_tokens=16, image_max_tokens=20)
    for width, height in ((10, 10), (600, 600), (100, 400)):
        assert 16 <= model.look([png(0, width, height)])[0].n_tokens <= 20


def test_a_full_context_ends_the_answer_as_positions_by_section_cannot_move(files: tuple[Path, Path]) -> None:
    model = pyggml.load(files[0], mmproj=files[1], n_ctx=256, image_max_tokens=30)
    never_ends = pyggml.SamplingOptions(temperature=0.0, ignore_eos=True)
    options = pyggml.GenerationOptions(context_shift=True)
    assert done(model.generate("the", images=[png(0)], sampling=never_ends, options=options)).reason == "context"
