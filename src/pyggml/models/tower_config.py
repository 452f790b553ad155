"""The hyperparameters of a vision tower, read from the metadata of an mmproj file and checked."""

from dataclasses import dataclass

from pyggml.backend.tower_graph import GELUKind
from pyggml.errors import ModelError
from pyggml.gguf import GGUFFile
from pyggml.image import SizeLimits
from pyggml.image.patches import MERGE

#: The projectors that are known, and whether they are Qwen2.5-VL's.
_PROJECTORS = {"qwen2vl_merger": False, "qwen2.5vl_merger": True}
#: Merged patches that a picture takes, unless the file or the user says otherwise.
_MIN_TOKENS, _MAX_TOKENS = 8, 4096
_WINDOW_PIXELS = 112
_MOST = 1 << 24


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of a tower of Qwen2-VL or Qwen2.5-VL."""

    is_second: bool
    """Whether it is Qwen2.5-VL's, with root mean square norms and gated networks."""
    n_layers: int
    n_embd: int
    n_heads: int
    n_out: int
    """Numbers of a merged patch, as many as the decoder's embeddings have."""
    patch_size: int
    epsilon: float
    activation: GELUKind
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    min_pixels: int
    max_pixels: int
    full_every: int
    """Every so many layers, attention sees the whole picture, in between only windows; 0: it always does."""
    window: int
    """Merged patches on a side of a window."""

    @property
    def head_size(self) -> int:
        """Numbers in a head."""
        return self.n_embd // self.n_heads

    @classmethod
    def from_file(cls, file: GGUFFile) -> "TowerConfig":
        """Read `clip.*`; GGUFError for a missing or mistyped key, ModelError for a file that is no such tower."""
        is_second = _PROJECTORS[_projector(file)]
        patch_size = file.require("clip.vision.patch_size", int, low=1, high=1024)
        n_embd = file.require("clip.vision.embedding_length", int, low=1, high=_MOST)
        n_heads = file.require("clip.vision.attention.head_count", int, low=1, high=n_embd)
        if n_embd % (4 * n_heads):
            raise ModelError(
                f"{file.path}: clip.vision.embedding_length is {n_embd}; with {n_heads} heads it has to be a multiple"
                f" of {4 * n_heads}"
            )
        if (merge := file.get("clip.vision.spatial_merge_size", int, MERGE)) != MERGE:
            raise ModelError(f"{file.path}: clip.vision.spatial_merge_size is {merge}; only {MERGE} is supported")
        pixels = (MERGE * patch_size) ** 2
        pattern = "clip.vision.n_wa_pattern"
        uses_gelu = file.get("clip.use_gelu", bool, False)
        return cls(
            is_second=is_second,
            n_layers=file.require("clip.vision.block_count", int, low=1, high=1 << 12),
            n_embd=n_embd,
            n_heads=n_heads,
            n_out=file.require("clip.vision.projection_dim", int, low=1, high=_MOST),
            patch_size=patch_size,
            epsilon=file.require("clip.vision.attention.layer_norm_epsilon", float, low=0.0),
            activation="tanh" if uses_gelu else "quick",
            image_mean=_colours(file, "clip.vision.image_mean"),
            image_std=_colours(file, "clip.vision.image_std"),
            min_pixels=file.get("clip.vision.image_min_pixels", int, _MIN_TOKENS * pixels, low=1, high=1 << 30),
            max_pixels=file.get("clip.vision.image_max_pixels", int, _MAX_TOKENS * pixels, low=1, high=1 << 30),
            full_every=file.require(pattern, int, low=0) if is_second else file.get(pattern, int, 0, low=0),
            window=max(1, _WINDOW_PIXELS // patch_size // MERGE),
        )

    def limits(self, min_tokens: int, max_tokens: int) -> SizeLimits:
        """The sizes of pictures; 0 tokens for the limit that the file has."""
        factor = MERGE * self.patch_size
        return SizeLimits(factor, min_tokens * factor**2 or self.min_pixels, max_tokens * factor**2 or self.max_pixels)


def _projector(file: GGUFFile) -> str:
    """The kind of tower, if it is one that is known."""
    architecture = file.require("general.architecture", str)
    if architecture != "clip":
        raise ModelError(
            f"{file.path}: general.architecture is {architecture!r}; a file for --mmproj has 'clip': this is no vision"
            " tower"
        )
    found = file.get("clip.projector_type", str, "") or file.get("clip.vision.projector_type", str, "")
    if found not in _PROJECTORS:
        raise ModelError(
            f"{file.path}: clip.projector_type is {found!r}, which is not supported; supported:"
            f" {', '.join(_PROJECTORS)}"
        )
    return found


def _colours(file: GGUFFile, key: str) -> tuple[float, ...]:
    found = file.require(key, list[float])
    if len(found) != 3:
        raise ModelError(f"{file.path}: {key} has {len(found)} numbers; it has to have 3, for red, green and blue")
    return tuple(found)
