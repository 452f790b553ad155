"""Opens GGUF files as llama_model handles."""

import os
from pathlib import Path

from pyggml_reference.library import OracleError, library, listen, log
from pyggml_reference.structures import ModelParams


def open_model(path: str | os.PathLike[str], *, vocab_only: bool, repack: bool) -> int:
    """Load a model on the CPU and give its handle; the caller frees it with llama_model_free.

    `repack` allows llama.cpp to interleave the rows of some weight formats for its faster kernels (its default).
    Raises OracleError, with llama.cpp's own words, if the file cannot be loaded.
    """
    if not Path(path).is_file():
        raise OracleError(f"{os.fspath(path)}: no such file")
    parameters: ModelParams = library().llama_model_default_params()
    parameters.n_gpu_layers = 0
    parameters.vocab_only = vocab_only
    parameters.use_extra_bufts = repack
    listen()
    handle: int | None = library().llama_model_load_from_file(os.fsencode(path), parameters)
    if not handle:
        raise OracleError(f"{os.fspath(path)}: llama.cpp cannot load it: {log().text()}")
    return handle
