"""Prompts with pictures: text in which a marker stands for each of them."""

from collections.abc import Sequence

from pyggml.engine.pictures import Picture, PlacedPictures
from pyggml.errors import UsageError
from pyggml.tokenizer import Tokenizer

#: What stands for a picture in the text of a prompt, as in llama.cpp.
PICTURE_MARKER = "<__media__>"
_BEFORE, _AFTER = "<|vision_start|>", "<|vision_end|>"


def with_markers(text: str, n_pictures: int, marker: str = PICTURE_MARKER) -> str:
    """The text with its markers; if it has none, pictures come first."""
    return text if marker in text else marker * n_pictures + text


def picture_prompt(
    tokenizer: Tokenizer,
    text: str,
    pictures: Sequence[Picture],
    *,
    marker: str = PICTURE_MARKER,
    add_special: bool = True,
) -> tuple[list[int], PlacedPictures]:
    """The tokens of a text with pictures in place of its markers, and where the pictures lie.

    Raises UsageError if there are not as many markers as pictures.
    """
    pieces = text.split(marker)
    if len(pieces) - 1 != len(pictures):
        raise UsageError(
            f"the prompt has {len(pieces) - 1} places for pictures ({marker}), and {len(pictures)} pictures were given"
        )
    tokens = tokenizer.tokenize(pieces[0], add_special=add_special, parse_special=True)
    places: list[tuple[int, Picture]] = []
    for piece, picture in zip(pieces[1:], pictures, strict=True):
        tokens += tokenizer.tokenize(_BEFORE, add_special=False, parse_special=True)
        places.append((len(tokens), picture))
        tokens += [picture.token] * picture.n_tokens
        tokens += tokenizer.tokenize(_AFTER, add_special=False, parse_special=True)
        tokens += tokenizer.tokenize(piece, add_special=False, parse_special=True)
    return tokens, PlacedPictures(tuple(places))
