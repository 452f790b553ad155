"""Reading a picture: the first frame, upright, as three colours of 8 bits, without transparency as in llama.cpp."""

import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyggml.errors import ImageError, MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]

#: More would take hundreds of megabytes to decode, and every model makes it a hundred times smaller.
MAX_PIXELS = 80_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
#: Modes whose numbers have 16 bits, of which the upper 8 are taken.
_DEEP = ("I", "I;16", "I;16B", "I;16L")


def read_image(data: bytes, name: str) -> Pixels:
    """The pixels (height, width, 3) of a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM; `name` is for messages.

    Raises ImageError for what is no such picture, is damaged, or has more than 80 megapixels.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise MissingExtraError('pictures need Pillow: install it with pip install "pyggml[image]"') from None
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        _check_size(picture.size, name)
        return _colours(ImageOps.exif_transpose(picture), name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(
            f"{name}: the picture is too large; allowed are {MAX_PIXELS} pixels: make it smaller"
        ) from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name}: this is no picture that can be read; allowed are PNG, JPEG, GIF, BMP, WebP, TIFF and PPM"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{name}: the picture is damaged: {error}; save it anew or take another one") from None


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: the picture is too large: {width} x {height} pixels; allowed are {MAX_PIXELS} in all: make it"
            " smaller"
        )


def _colours(picture: "Image", name: str) -> Pixels:
    if picture.mode in _DEEP:
        grey = np.clip(np.asarray(picture).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.mode == "F":
        raise ImageError(f"{name}: the picture has floating-point numbers; allowed are 8 and 16 bits: save it as PNG")
    return np.asarray(picture.convert("RGB"))
