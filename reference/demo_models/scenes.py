"""Pictures of shapes, icons and texts, together with everything that is true of them.

One scene in sixteen is held out of training: without a text, a combination of kinds, colors and places that was never
drawn; with one, a text that was never written.
"""

from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from demo_models.colors import RGB, background_color, color_on, jitter
from demo_models.drawing import ICONS, SHAPES, Color, Pen, draw_item
from demo_models.fonts import N_FONTS, font
from demo_models.mixture import belongs
from demo_models.phrases import cap
from demo_models.tables import spelling_words

#: Sides of pictures are multiples of what one token of the language model sees, so many of them.
UNIT, MIN_UNITS, MAX_UNITS = 28, 4, 9
_SMALLEST, _LARGEST = 11, 46  # sizes of fonts


@dataclass(frozen=True)
class Item:
    """A shape or icon; cells are numbered row by row, three in a row."""

    kind: str
    color: str
    cell: int


@dataclass(frozen=True)
class Text:
    """Something to read: the task is to read a word, number or letters; the size is the font's, in pixels."""

    task: str
    text: str
    row: int
    color: str
    size: float = 0.0


@dataclass(frozen=True)
class Scene:
    """What a picture shows."""

    background: str
    items: tuple[Item, ...]
    text: Text | None
    is_big: bool

    @property
    def key(self) -> str:
        """What decides the side of the split."""
        if self.text is not None:
            return "ocr|" + self.text.text.lower()
        return "img|" + "|".join(f"{item.kind} {item.color} {item.cell}" for item in self.items)


@dataclass(frozen=True)
class SceneMixture:
    """The share of scenes with something to read, and the smallest size of a font that is tried first."""

    text_share: float = 0.48
    min_font: int = 15


def random_scene(rng: Random, split: str, mixture: SceneMixture) -> Scene:
    """A scene that belongs to the split."""
    while True:
        scene = _any_scene(rng, mixture)
        if belongs(scene.key, split):
            return scene


def _any_scene(rng: Random, mixture: SceneMixture) -> Scene:
    back = background_color(rng)
    has_text = rng.random() < mixture.text_share
    count = rng.choice([0, 0, 0, 1]) if has_text else rng.choice([1, 1, 2, 3])
    cells = rng.sample(range(9), count)
    is_big = count == 1 and not has_text and rng.random() < 0.4
    if is_big:
        cells = [4]
    text = None
    if has_text:
        task, words = _random_text(rng)
        row = rng.randrange(3)
        cells = [cell for cell in rng.sample(range(9), 9) if cell // 3 != row][:count]
        text = Text(task, words, row, color_on(rng, back))
    items = []
    for cell in sorted(cells):
        kinds = ICONS if rng.random() < 0.4 else SHAPES
        items.append(Item(rng.choice(list(kinds)), color_on(rng, back), cell))
    return Scene(back, tuple(items), text, is_big)


def _random_text(rng: Random) -> tuple[str, str]:
    mode = rng.random()
    if mode < 0.6:
        word = rng.choice(spelling_words())
        while len(word) > 9:
            word = rng.choice(spelling_words())
        case = rng.random()
        return "word", word if case < 0.5 else cap(word) if case < 0.75 else word.upper()
    if mode < 0.85:
        return "number", str(rng.randint(0, 10 ** rng.randint(1, 5)))
    return "letters", "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 6)))


def draw_scene(
    rng: Random, width: int, height: int, split: str, mixture: SceneMixture | None = None
) -> tuple[Image.Image, Scene]:
    """A picture of this size and what it shows."""
    mixture = mixture or SceneMixture()
    scene = random_scene(rng, split, mixture)
    scale = 2 if rng.random() < 0.5 else 1  # drawn at twice the size, edges are smooth
    w, h = width * scale, height * scale
    image = _background(rng, w, h, RGB[scene.background])
    draw = ImageDraw.Draw(image)
    if scene.text is not None:
        size = _draw_text(rng, draw, scene.text, scale, mixture.min_font, is_alone=not scene.items)
        scene = replace(scene, text=replace(scene.text, size=size))
    for item in scene.items:
        center = (w * (item.cell % 3 * 2 + 1) / 6, h * (item.cell // 3 * 2 + 1) / 6)
        r = min(w, h) * rng.uniform(0.2, 0.45) if scene.is_big else min(w, h) / 3 * rng.uniform(0.32, 0.47)
        x, y = center[0] + rng.uniform(-0.08, 0.08) * w / 3, center[1] + rng.uniform(-0.08, 0.08) * h / 3
        draw_item(item.kind, Pen(draw, x, y, r, jitter(rng, RGB[item.color]), RGB[scene.background]))
    return (image.reduce(2) if scale == 2 else image), scene


def _draw_text(
    rng: Random, draw: ImageDraw.ImageDraw, text: Text, scale: int, min_font: int, *, is_alone: bool
) -> float:
    """Write the text so that it fits; returns the size of the font in the final picture."""
    w, h = draw.im.size
    index, size = rng.randrange(N_FONTS), rng.randint(min_font, _LARGEST) * scale
    room_w, room_h = w * 0.94, h * (0.9 if is_alone else 0.33)
    while True:
        chosen = font(index, size)
        left, top, right, bottom = draw.textbbox((0, 0), text.text, font=chosen)
        if (right - left <= room_w and bottom - top <= room_h) or size <= _SMALLEST * scale:
            break
        size = max(int(size * 0.88), _SMALLEST * scale)
    text_w, text_h = right - left, bottom - top
    x = rng.uniform(w * 0.02, max(w * 0.02, w * 0.98 - text_w))
    if is_alone:
        y = rng.uniform(h * 0.02, max(h * 0.02, h * 0.98 - text_h))
    else:
        y = min(max(h * (text.row * 2 + 1) / 6 - text_h / 2, h * 0.02), h * 0.98 - text_h)
    draw.text((x - left, y - top), text.text, font=chosen, fill=jitter(rng, RGB[text.color]))
    return size / scale


def _background(rng: Random, width: int, height: int, color: Color) -> Image.Image:
    """A plain background, or one with a soft gradient or grain."""
    base = jitter(rng, color, 8)
    mode = rng.random()
    if mode < 0.7:
        return Image.new("RGB", (width, height), base)
    other = np.array(jitter(rng, base, 20), np.float32)
    start = np.array(base, np.float32)
    if mode < 0.85:
        is_vertical = rng.random() < 0.5
        ramp = np.linspace(0, 1, height if is_vertical else width, dtype=np.float32)
        ramp = ramp[:, None, None] if is_vertical or width == height else ramp[None, :, None]
        pixels = np.broadcast_to(start * (1 - ramp) + other * ramp, (height, width, 3))
    else:
        noise = np.random.default_rng(rng.getrandbits(32)).standard_normal((height, width, 1), np.float32)
        pixels = start + noise * rng.uniform(3, 10)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
