"""Pictures: from a file's bytes to the numbers of patches that a vision tower reads."""

from pyggml.image.patches import PatchGrid, cut_into_patches, normalized
from pyggml.image.reading import read_image
from pyggml.image.resizing import SizeLimits, fit_to_patches

__all__ = ["PatchGrid", "SizeLimits", "cut_into_patches", "fit_to_patches", "normalized", "read_image"]
