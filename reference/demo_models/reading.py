"""Pictures of one text each, drawn fast: only the letters' coverage; the trainer puts colors and grain behind it.

What is written: words, made-up words (the beginning of one word and the end of another, so that letters have to be
read, not guessed), numbers and random letters. A text that is held out, in any case of its letters, is never drawn.
"""

from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from demo_models.fonts import N_FONTS, font
from demo_models.phrases import cap
from demo_models.splits import is_heldout
from demo_models.tables import spelling_words

_SMALLEST, _LARGEST, _SMALLEST_THAT_FITS = 13, 46, 10  # sizes of fonts, in pixels
_LONGEST = 9  # letters


@dataclass(frozen=True)
class TextPicture:
    """A text, its letters' coverage (height, width) from 0 to 255, and the size of the font in pixels."""

    text: str
    coverage: npt.NDArray[np.uint8]
    size: float


def readable_text(rng: Random) -> str:
    """Something to read that is not held out."""
    while True:
        text = _any_text(rng)
        if not is_heldout("ocr|" + text.lower()):
            return text


def _any_text(rng: Random) -> str:
    mode = rng.random()
    if mode < 0.15:
        return str(rng.randint(0, 10 ** rng.randint(1, 5)))
    if mode < 0.3:
        letters = "abcdefghijklmnopqrstuvwxyz"
        return "".join(rng.choice(letters) for _ in range(rng.randint(3, 6)))
    word = _short_word(rng) if mode < 0.6 else _made_up_word(rng)
    case = rng.random()
    return word if case < 0.5 else cap(word) if case < 0.75 else word.upper()


def _short_word(rng: Random) -> str:
    while True:
        word = rng.choice(spelling_words())
        if len(word) <= _LONGEST:
            return word


def _made_up_word(rng: Random) -> str:
    while True:
        first, second = rng.choice(spelling_words()), rng.choice(spelling_words())
        word = first[: rng.randint(1, len(first))] + second[rng.randint(0, len(second) - 1) :]
        if 3 <= len(word) <= _LONGEST:
            return word


def text_picture(rng: Random, text: str, width: int, height: int) -> TextPicture:
    """The text somewhere in a picture of this size, as large as drawn at random but so that it fits."""
    scale = 2 if rng.random() < 0.5 else 1  # drawn at twice the size, edges are smooth
    index, size = rng.randrange(N_FONTS), rng.randint(_SMALLEST, _LARGEST) * scale
    while True:
        chosen = font(index, size)
        left, top, right, bottom = (int(edge) for edge in chosen.getbbox(text))
        room = min(width * 0.95 * scale / (right - left), height * 0.92 * scale / (bottom - top))
        if room >= 1 or size <= _SMALLEST_THAT_FITS * scale:
            break
        size = max(min(int(size * room), size - 1), _SMALLEST_THAT_FITS * scale)
    x = rng.uniform(0.02, 0.98) * max(width * scale - (right - left), 0) - left
    y = rng.uniform(0.02, 0.98) * max(height * scale - (bottom - top), 0) - top
    image = Image.new("L", (width * scale, height * scale))
    ImageDraw.Draw(image).text((round(x), round(y)), text, font=chosen, fill=255)
    return TextPicture(text, np.asarray(image.reduce(2) if scale == 2 else image), size / scale)
