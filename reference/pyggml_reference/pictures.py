"""llama.cpp's mtmd: pictures through a vision tower, and where they lie in a prompt."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pyggml_reference.library import OracleError, library, listen, log
from pyggml_reference.model import FLASH_ATTENTION, ReferenceModel
from pyggml_reference.structures import PictureParams, PictureText

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Chunk:
    """A part of a prompt: text, or a picture with what the tower made of it."""

    tokens: tuple[int, ...]
    """Of text."""
    positions: npt.NDArray[np.int64]
    """Of a picture, (n_tokens, 3): time, row, column from where it begins."""
    n_positions: int
    vectors: Floats
    """Of a picture, (n_tokens, n_embd)."""


class ReferenceTower:
    """A vision tower beside a text model; to be closed before that."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: ReferenceModel,
        *,
        min_tokens: int = -1,
        max_tokens: int = -1,
        flash_attn: Literal["auto", "on", "off"] = "auto",
    ) -> None:
        """Load an mmproj file; -1 tokens for its own limits. Raises OracleError, with llama.cpp's own words."""
        self._model = model
        self._n_embd = model.n_embd
        parameters: PictureParams = library().mtmd_context_params_default()
        parameters.use_gpu = parameters.warmup = parameters.print_timings = False
        parameters.n_threads = 1
        parameters.image_min_tokens, parameters.image_max_tokens = min_tokens, max_tokens
        parameters.flash_attn_type = FLASH_ATTENTION[flash_attn]
        listen()
        self._handle: int | None = library().mtmd_init_from_file(os.fsencode(path), model.handles[0], parameters)
        if not self._handle:
            raise OracleError(f"{os.fspath(path)}: llama.cpp cannot load it: {log().text()}")

    def __enter__(self) -> "ReferenceTower":
        """Give the loaded tower."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free it."""
        if self._handle:
            library().mtmd_free(self._handle)
            self._handle = None

    def chunks(self, prompt: str, pictures: Sequence[Pixels], *, add_special: bool = False) -> list[Chunk]:
        """The parts of a prompt in which `<__media__>` stands for each of the pictures (height, width, 3)."""
        with self._tokenized(prompt, pictures, add_special) as chunks:
            n = int(library().mtmd_input_chunks_size(chunks))
            return [self._chunk(library().mtmd_input_chunks_get(chunks, index)) for index in range(n)]

    def logits(self, prompt: str, pictures: Sequence[Pixels], n_batch: int = 512) -> Floats:
        """The logits (n_vocab,) after a prompt, from an empty cache."""
        _, context = self._model.handles
        library().llama_memory_clear(library().llama_get_memory(context), True)
        end = ctypes.c_int32()
        with self._tokenized(prompt, pictures, False) as chunks:
            status = library().mtmd_helper_eval_chunks(
                self._handle, context, chunks, 0, 0, n_batch, True, ctypes.byref(end)
            )
        if status:
            raise OracleError(f"mtmd_helper_eval_chunks failed with status {status}: {log().text()}")
        values = library().llama_get_logits(context)
        return np.ctypeslib.as_array(values, (self._model.n_vocab,)).copy()

    @contextmanager
    def _tokenized(self, prompt: str, pictures: Sequence[Pixels], add_special: bool) -> Iterator[int]:
        text = prompt.encode()
        held = [np.ascontiguousarray(pixels, np.uint8) for pixels in pictures]
        bitmaps = (ctypes.c_void_p * len(held))(
            *[library().mtmd_bitmap_init(each.shape[1], each.shape[0], each.ctypes.data) for each in held]
        )
        chunks = library().mtmd_input_chunks_init()
        try:
            request = PictureText(text, len(text), add_special, True)
            status = library().mtmd_tokenize(self._handle, chunks, ctypes.byref(request), bitmaps, len(held))
            if status:
                raise OracleError(f"mtmd_tokenize failed with status {status}: {log().text()}")
            yield chunks
        finally:
            library().mtmd_input_chunks_free(chunks)
            for bitmap in bitmaps:
                library().mtmd_bitmap_free(bitmap)

    def _chunk(self, chunk: int) -> Chunk:
        n = int(library().mtmd_input_chunk_get_n_tokens(chunk))
        n_positions = int(library().mtmd_input_chunk_get_n_pos(chunk))
        nothing = np.zeros((0, 3), np.int64), n_positions, np.zeros((0, self._n_embd), np.float32)
        image = library().mtmd_input_chunk_get_tokens_image(chunk)
        if not image:
            length = ctypes.c_size_t()
            tokens = library().mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(length))
            return Chunk(tuple(tokens[: length.value]), *nothing)
        found = [library().mtmd_image_tokens_get_decoder_pos(image, 0, index) for index in range(n)]
        positions = np.array([(each.t, each.y, each.x) for each in found], np.int64)
        if library().mtmd_encode_chunk(self._handle, chunk):
            raise OracleError(f"mtmd_encode_chunk failed: {log().text()}")
        vectors = np.ctypeslib.as_array(library().mtmd_get_output_embd(self._handle), (n, self._n_embd)).copy()
        return Chunk((), positions, n_positions, vectors)
