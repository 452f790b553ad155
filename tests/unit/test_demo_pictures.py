"""What the vision demo model learns from: pictures that show what is said of them, and conversations as tokens."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from demo_models.blocks import Block, question_block, reading_block, scene_block
from demo_models.chats import chats, positions_of
from demo_models.colors import RGB
from demo_models.documents import Turn
from demo_models.drawing import ICONS, SHAPES, Pen, draw_item
from demo_models.heldout import heldout_pictures
from demo_models.mixture import belongs
from demo_models.questions import questions
from demo_models.reading import readable_text, text_picture
from demo_models.scenes import SceneMixture, draw_scene
from demo_models.splits import is_heldout
from pyggml.gguf import GGUFFile
from pyggml.package_data import demo_model
from pyggml.tokenizer import load_tokenizer

SEEDS = st.integers(0, 2**32)


class OwnEncoder:
    """pyggml's tokenizer of demo-vl."""

    def __init__(self) -> None:
        with GGUFFile.open(demo_model("demo-vl")) as file:
            self._tokenizer = load_tokenizer(file)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._tokenizer.tokenize(text, add_special=False, parse_special=True) for text in texts]

    def token_id(self, name: str) -> int:
        ((token,),) = self.encode([name])
        return token

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.detokenize(ids, render_special=True)


@pytest.fixture(scope="module")
def encoder() -> OwnEncoder:
    return OwnEncoder()


@pytest.mark.parametrize("kind", [*SHAPES, *ICONS])
@pytest.mark.parametrize("radius", [9.0, 40.0])
def test_things_are_drawn_within_their_radius(kind: str, radius: float) -> None:
    image = Image.new("RGB", (120, 120), RGB["white"])
    draw_item(kind, Pen(ImageDraw.Draw(image), 60.0, 60.0, radius, RGB["red"], RGB["white"]))
    painted = (np.asarray(image) != RGB["white"]).any(axis=2)
    rows, columns = np.nonzero(painted)
    assert painted.sum() > radius**2 * 0.4
    for places in (rows, columns):
        assert places.min() >= 60 - radius - 3
        assert places.max() <= 60 + radius + 3
    assert (np.asarray(image) == RGB["red"]).all(axis=2).any()


@given(seed=SEEDS, split=st.sampled_from(["train", "heldout"]))
@settings(max_examples=60, deadline=None)
def test_scenes_show_what_is_said_of_them(seed: int, split: str) -> None:
    rng = Random(seed)
    image, scene = draw_scene(rng, 168, 140, split, SceneMixture(text_share=0.0))
    assert image.size == (168, 140)
    assert belongs(scene.key, split)
    pixels = np.asarray(image).astype(int)
    for item in scene.items:
        left, top = item.cell % 3 * 56, item.cell // 3 * 140 // 3
        cell = pixels[top : top + 47, left : left + 56]
        assert (np.abs(cell - RGB[item.color]).max(axis=2) < 16).any(), item
    for turn in questions(rng, scene):
        if turn.task == "count":
            assert str(len(scene.items)) in turn.answer
        if turn.task == "describe":
            assert all(f"{item.color} {item.kind}" in turn.answer for item in scene.items)
        assert turn.question
        assert turn.answer[-1] in ".。"


def test_held_out_pictures_show_what_they_should() -> None:
    pictures = heldout_pictures()
    assert len(pictures) == 12
    for name, image, turns in pictures:
        assert len({turn.task for turn in turns}) == len(turns) == 6, name
        assert all(side % 28 == 0 and 140 <= side <= 252 for side in image.size)


@given(seed=SEEDS, height=st.sampled_from([28, 84, 252]))
@settings(max_examples=60, deadline=None)
def test_texts_to_read_are_inside_their_picture_and_never_held_out(seed: int, height: int) -> None:
    rng = Random(seed)
    text = readable_text(rng)
    assert not is_heldout("ocr|" + text.lower())
    drawn = text_picture(rng, text, 140, height)
    assert (drawn.text, drawn.coverage.shape) == (text, (height, 140))
    assert drawn.coverage.max() > 100
    assert 10 <= drawn.size <= 46


def conversations() -> Iterator[list[Turn]]:
    yield [Turn("read", "What does the text say?", 'The text says "Fox".'), Turn("spell", "Spell it.", "F o x")]
    yield [Turn("zh what", "这是什么？", "这是红色的圆形。")]


@pytest.mark.parametrize("is_training", [True, False])
def test_conversations_as_tokens(encoder: OwnEncoder, *, is_training: bool) -> None:
    made = chats(Random(1), encoder, list(conversations()), (2, 3), is_training=is_training)
    assert made.ids.shape[1] % 8 == 0
    texts = [encoder.decode(row[:n].tolist()) for row, n in zip(made.ids, made.lengths, strict=True)]
    image = encoder.token_id("<|image_pad|>")
    assert (made.ids.reshape(-1)[made.pads] == image).all()
    assert len(made.pads) == (made.ids == image).sum() == 12
    learned = encoder.decode(made.targets.tolist())
    if is_training:
        assert learned == 'The text says "Fox".<|im_end|>F o x<|im_end|>这是红色的圆形。<|im_end|>'
        assert (made.ids.reshape(-1)[made.learn + 1] == made.targets).all()
        assert 'assistant\nThe text says "Fox".<|im_end|>\n<|im_start|>user\nSpell it.' in texts[0]
    else:
        assert learned == ""
        assert all(text.endswith("<|im_start|>assistant\n") for text in texts)


def test_positions_of_a_picture_count_its_longer_side() -> None:
    is_image = np.array([False] * 2 + [True] * 6 + [False] * 3)
    assert positions_of(is_image, 2, 3).tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 7],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 7],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7],
    ]


def test_blocks_come_out_the_same_from_the_same_seed(encoder: OwnEncoder) -> None:
    makers: list[Callable[[Random], Block]] = [
        lambda rng: reading_block(rng, encoder, 600, 8),
        lambda rng: scene_block(rng, encoder, 3),
        lambda rng: question_block(rng, encoder, 3, (4, 6), mixture=SceneMixture(text_share=1.0), tasks="read"),
    ]
    for make in makers:
        first, second = make(Random(9)), make(Random(9))
        assert first.turns == second.turns
        for name, values in first.arrays().items():
            np.testing.assert_array_equal(values, second.arrays()[name])
        assert len(first.sizes) == len(first.turns) == len(first.chats.ids)


def test_blocks_to_read_ask_for_what_is_written(encoder: OwnEncoder) -> None:
    block = question_block(Random(2), encoder, 6, (5, 5), mixture=SceneMixture(text_share=1.0), tasks="read")
    assert {turn.task.split()[0] for turn in block.turns} == {"read"}
    assert all(size >= 11 for size in block.sizes)
    block = reading_block(Random(2), encoder, 4000, 64)
    rows, columns = block.grid
    assert block.coverage is not None
    assert block.coverage.shape == (len(block.turns), rows * 28, columns * 28)
    assert {"read", "spell"} <= {turn.task for turn in block.turns}
