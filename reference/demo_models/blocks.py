"""Blocks of training data: many pictures of one size, each with a conversation about it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from demo_models.chats import Chats, Encoder, chats
from demo_models.colors import RGB, background_color, color_on, jitter
from demo_models.documents import Turn
from demo_models.questions import DESCRIBE, READ, ZH_DESCRIBE, ZH_READ, describe, describe_zh, questions
from demo_models.reading import readable_text, text_picture
from demo_models.scenes import MAX_UNITS, MIN_UNITS, UNIT, Scene, SceneMixture, Text, draw_scene

Bytes = npt.NDArray[np.uint8]
Grid = tuple[int, int]


@dataclass(frozen=True)
class Block:
    """Pictures that take `grid` rows x columns tokens each, with their conversations.

    Either `pixels` (batch, height, width, 3), or the `coverage` of letters (batch, height, width) and the `colors`
    (batch, 2, 3) of the letters and behind them. `turns` has the first turn of each conversation, `sizes` the size of
    the font in each picture, 0 without a text.
    """

    chats: Chats
    grid: Grid
    turns: tuple[Turn, ...]
    sizes: tuple[float, ...]
    pixels: Bytes | None = None
    coverage: Bytes | None = None
    colors: Bytes | None = None

    def arrays(self) -> dict[str, Any]:
        """The arrays by name."""
        found = {"pixels": self.pixels, "coverage": self.coverage, "colors": self.colors, **vars(self.chats)}
        return {name: values for name, values in found.items() if values is not None}


def reading_block(rng: Random, encoder: Encoder, n_patches: int, n_most: int) -> Block:
    """As many pictures with one text each as have about so many patches in all, `n_most` at most; low ones mostly."""
    rows, columns = rng.choice((1, 2, 2, 2, 3, 3, 4, 5, 7, 9)), rng.randint(4, 9)
    n_pictures = max(1, min(n_most, n_patches // (rows * columns * 4)))
    coverage = np.empty((n_pictures, rows * UNIT, columns * UNIT), np.uint8)
    colors = np.empty((n_pictures, 2, 3), np.uint8)
    conversations, sizes = [], []
    for index in range(n_pictures):
        drawn = text_picture(rng, readable_text(rng), columns * UNIT, rows * UNIT)
        coverage[index] = drawn.coverage
        back = background_color(rng)
        front = color_on(rng, back)
        colors[index] = jitter(rng, RGB[front]), jitter(rng, RGB[back], 8)
        conversations.append(_reading_turns(rng, drawn.text, front, back))
        sizes.append(drawn.size)
    encoded = chats(rng, encoder, conversations, (rows, columns), system_share=0.2)
    first = tuple(turns[0] for turns in conversations)
    return Block(encoded, (rows, columns), first, tuple(sizes), coverage=coverage, colors=colors)


def _reading_turns(rng: Random, text: str, front: str, back: str) -> list[Turn]:
    """A question about what is written, or a request to spell it, or both; spelling teaches letter by letter."""
    spell = Turn("spell", rng.choice(("Spell the text.", "Spell the text letter by letter.")), " ".join(text))
    scene = Scene(back, (), Text("text", text, 0, front), is_big=False)
    mode = rng.random()
    if mode < 0.1:
        read = Turn("zh read", rng.choice(ZH_READ), f"图中写着“{text}”。")
    elif mode < 0.2:
        read = Turn("describe", rng.choice(DESCRIBE), describe(scene))
    elif mode < 0.25:
        read = Turn("zh describe", rng.choice(ZH_DESCRIBE), describe_zh(scene))
    else:
        read = Turn("read", rng.choice(READ), f'The text says "{text}".')
    order = rng.random()
    return [read] if order < 0.5 else [spell] if order < 0.7 else [spell, read]


def scene_block(
    rng: Random,
    encoder: Encoder,
    n_pictures: int,
    *,
    grid: Grid | None = None,
    mixture: SceneMixture | None = None,
) -> Block:
    """Scenes with one to four questions each, to learn from."""
    sides = range(MIN_UNITS, MAX_UNITS + 1)
    grid = grid or (rng.choice(sides), rng.choice(sides))

    def ask(scene: Scene) -> list[Turn]:
        return questions(rng, scene)[: rng.choice((1, 2, 3, 4))]

    return _scenes(rng, encoder, n_pictures, grid, mixture, ask, is_training=True)


def question_block(
    rng: Random,
    encoder: Encoder,
    n_pictures: int,
    grid: Grid,
    *,
    mixture: SceneMixture | None = None,
    tasks: str = "",
) -> Block:
    """Held-out scenes with one question each, whose task begins with `tasks`, and no answers."""

    def ask(scene: Scene) -> list[Turn]:
        return [turn for turn in questions(rng, scene) if turn.task.startswith(tasks)][:1]

    return _scenes(rng, encoder, n_pictures, grid, mixture, ask, is_training=False)


def _scenes(
    rng: Random,
    encoder: Encoder,
    n_pictures: int,
    grid: Grid,
    mixture: SceneMixture | None,
    ask: Callable[[Scene], list[Turn]],
    *,
    is_training: bool,
) -> Block:
    rows, columns = grid
    pixels = np.empty((n_pictures, rows * UNIT, columns * UNIT, 3), np.uint8)
    conversations, sizes = [], []
    for index in range(n_pictures):
        image, scene = draw_scene(rng, columns * UNIT, rows * UNIT, "train" if is_training else "heldout", mixture)
        pixels[index] = np.asarray(image)
        conversations.append(ask(scene))
        sizes.append(scene.text.size if scene.text else 0.0)
    encoded = chats(rng, encoder, conversations, grid, is_training=is_training)
    return Block(encoded, grid, tuple(turns[0] for turns in conversations), tuple(sizes), pixels=pixels)
