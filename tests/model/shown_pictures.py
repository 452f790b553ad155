"""Pictures for tests that compare with transformers: as files, and in a prompt whose pictures are all one token."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from pyggml.engine import Picture, PlacedPictures
from pyggml_reference.transformers_model import IMAGE


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def placed(tokens: Sequence[int], pictures: Sequence[Picture]) -> tuple[list[int], PlacedPictures]:
    """The tokens of the prompt as pyggml has them, and where the pictures lie."""
    result, places = list(tokens), []
    start = 0
    for picture in pictures:
        start = result.index(IMAGE, start)
        result[start : start + picture.n_tokens] = [picture.token] * picture.n_tokens
        places.append((start, picture))
    assert IMAGE not in result
    return result, PlacedPictures(tuple(places))


def nmse(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    wide = expected.astype(np.float64)
    return float(((found - wide) ** 2).sum() / (wide**2).sum())


def one_frame(patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The patches of transformers, of which each has two frames of a film, as one; a picture's are the same."""
    frames = patches.reshape(len(patches), 3, 2, -1)
    np.testing.assert_array_equal(frames[:, :, 0], frames[:, :, 1])
    return frames[:, :, 0].reshape(len(patches), -1)
