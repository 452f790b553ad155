"""The size at which a model sees a picture, and the picture at that size; both as llama.cpp has them.

Sides become multiples of a factor, the area is brought between two limits, and the proportions stay: what is left over
at two sides is black. llama.cpp computes in float32, and resizes as Pillow does, in integers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyggml.image.reading import Pixels


@dataclass(frozen=True)
class SizeLimits:
    """What the sides are multiples of, and the area in pixels."""

    factor: int
    min_pixels: int
    max_pixels: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The width and the height of what the model sees of a picture of this size."""
        w = max(self.factor, self._times(_round_half_away, np.float32(width)))
        h = max(self.factor, self._times(_round_half_away, np.float32(height)))
        area = np.float32(height) * np.float32(width)
        if w * h > self.max_pixels:
            shrink = np.sqrt(area / np.float32(self.max_pixels))
            w = max(self.factor, self._times(math.floor, np.float32(width) / shrink))
            h = max(self.factor, self._times(math.floor, np.float32(height) / shrink))
        elif w * h < self.min_pixels:
            grow = np.sqrt(np.float32(self.min_pixels) / area)
            w = self._times(math.ceil, np.float32(width) * grow)
            h = self._times(math.ceil, np.float32(height) * grow)
        return w, h

    def _times(self, rounded: Callable[[float], int], length: np.float32) -> int:
        """A multiple of the factor."""
        return rounded(float(length / np.float32(self.factor))) * self.factor


def _round_half_away(x: float) -> int:
    return math.floor(x + 0.5)


def fit_to_patches(pixels: Pixels, limits: SizeLimits) -> Pixels:
    """The picture (height, width, 3) at the size that the model sees."""
    from PIL import Image

    height, width, _ = pixels.shape
    target_width, target_height = limits.size(width, height)
    if (target_width, target_height) == (width, height):
        return pixels
    scale = min(np.float32(target_width) / np.float32(width), np.float32(target_height) / np.float32(height))
    inner_width = min(math.ceil(np.float32(width) * scale), target_width)
    inner_height = min(math.ceil(np.float32(height) * scale), target_height)
    inner = Image.fromarray(pixels).resize((inner_width, inner_height), Image.Resampling.BICUBIC)
    result = np.zeros((target_height, target_width, 3), np.uint8)
    left, top = (target_width - inner_width) // 2, (target_height - inner_height) // 2
    result[top : top + inner_height, left : left + inner_width] = np.asarray(inner)
    return result
