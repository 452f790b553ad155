"""The fonts that pictures are written with: DejaVu, with its licence beside it, and the one that Pillow has."""

import functools
from pathlib import Path

from PIL import ImageFont

_NAMES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono")
N_FONTS = len(_NAMES) + 1


@functools.cache
def font(index: int, size: int) -> ImageFont.FreeTypeFont:
    """A font of this size in pixels; the last index is Pillow's own."""
    if index < len(_NAMES):
        return ImageFont.truetype(str(Path(__file__).parent / "fonts" / f"{_NAMES[index]}.ttf"), size)
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType, which draws its own font at any size")
    return found
