"""A vision tower in memory: pictures to what a decoder reads in place of their tokens."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

import numpy as np

from pyggml.backend.protocol import PictureStep, TowerBackend, TowerHeads
from pyggml.engine import Picture
from pyggml.errors import ImageError, ModelError, PromptTooLongError, UsageError
from pyggml.gguf import GGUFFile
from pyggml.image import cut_into_patches, fit_to_patches, normalized, read_image
from pyggml.models.tower import tower_graph
from pyggml.models.tower_config import TowerConfig
from pyggml.models.tower_weights import load_tower
from pyggml.models.windows import windows_of
from pyggml_kernels.formats import FORMATS, Format

#: Pictures of which the result is kept: those of a conversation are asked for again at each turn.
_N_KEPT = 8
#: The cache format that keys and values are rounded through, by the type of the weights: else F16, as in llama.cpp.
_HEAD_FORMATS = {"F32": "f32", "BF16": "bf16"}


class Tower:
    """The tower of an mmproj file, for a decoder that reads `n_ctx` tokens, of `n_embd` numbers each."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        backend: TowerBackend,
        n_embd: int,
        n_ctx: int,
        *,
        min_tokens: int = 0,
        max_tokens: int = 0,
        formats: Mapping[int, Format] = FORMATS,
    ) -> None:
        """Load it; 0 tokens for the limits that the file has.

        Raises GGUFError and ModelError for a file that cannot be used, UsageError for limits that cannot be.
        """
        file = GGUFFile.open(path)
        self.config = TowerConfig.from_file(file)
        if self.config.n_out != n_embd:
            raise ModelError(
                f"{file.path}: the tower gives vectors of {self.config.n_out} numbers, and the model's embeddings have"
                f" {n_embd}: this is the mmproj file of another model"
            )
        for option, value in (("image_min_tokens", min_tokens), ("image_max_tokens", max_tokens)):
            if not 0 <= value <= 1 << 16:
                raise UsageError(f"{option} is {value}; allowed are 1 to {1 << 16}, and 0 for the file's own")
        self.limits = self.config.limits(min_tokens, max_tokens)
        if self.limits.min_pixels > self.limits.max_pixels:
            raise UsageError(
                f"pictures would take {self.limits.min_pixels // self.limits.factor**2} tokens at least and"
                f" {self.limits.max_pixels // self.limits.factor**2} at most; image_min_tokens must not be larger than"
                " image_max_tokens"
            )
        self._backend = backend
        self._n_ctx = n_ctx
        self._graph = tower_graph(self.config, load_tower(file, self.config, backend, formats))
        kind = file.tensors["v.blk.0.attn_k.weight"].type_name
        self._heads = TowerHeads(self.config.n_heads, self.config.head_size, _HEAD_FORMATS.get(kind, "f16"))
        self._kept: OrderedDict[bytes, Picture] = OrderedDict()
        self._lock = Lock()

    def look(self, data: bytes, name: str = "the picture") -> Picture:
        """What the decoder is given for a picture, from the bytes of its file; `name` is for messages.

        Raises ImageError, and PromptTooLongError for one that does not fit into the context.
        """
        key = hashlib.sha256(data).digest()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._computed(data, name)
                if len(self._kept) > _N_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _computed(self, data: bytes, name: str) -> Picture:
        c = self.config
        pixels = fit_to_patches(read_image(data, name), self.limits)
        self._check_room(pixels.shape[0] * pixels.shape[1] // self.limits.factor**2, name)
        patches, grid = cut_into_patches(normalized(pixels, c.image_mean, c.image_std), c.patch_size)
        # Without windows all patches are in one, and stay in their order.
        order, windows = windows_of(grid, c.window if c.full_every else max(grid.n_rows, grid.n_columns))
        rows = (4 * order[:, None] + np.arange(4)).ravel()
        # The kernel's rows may be longer by some zeros. Those in the picture's order are let go of.
        ordered = np.zeros((len(rows), self._graph.nodes[0].output.n_columns), np.float32)
        ordered[:, : patches.shape[1]] = patches[rows]
        patches = ordered
        step = PictureStep(
            patches,
            grid.places()[rows],
            np.repeat(windows, 4).astype(np.int32),
            np.argsort(order).astype(np.int32),
        )
        return Picture(self._backend.look(self._graph, step, self._heads), grid.n_rows, grid.n_columns)

    def _check_room(self, n_tokens: int, name: str) -> None:
        """Before the tower takes its time for nothing."""
        if n_tokens >= self._n_ctx:
            raise PromptTooLongError(
                f"{name}: the picture takes {n_tokens} tokens, and the context holds {self._n_ctx} with all the rest;"
                " choose a larger context with -c, or fewer tokens with --image-max-tokens",
                n_tokens,
                self._n_ctx,
            )


def image_bytes(image: str | os.PathLike[str] | bytes) -> tuple[bytes, str]:
    """The bytes of a picture that is given as such or by its path, and its name for messages. ImageError."""
    if isinstance(image, bytes):
        return image, "the picture"
    try:
        return Path(image).read_bytes(), str(image)
    except OSError as error:
        raise ImageError(f"{os.fspath(image)}: the picture cannot be read: {error.strerror}") from error
