"""Loading a model for the command line, saying what takes long."""

import time
from dataclasses import dataclass
from pathlib import Path

from pyggml.cli.console import Console
from pyggml.cli.model_options import LoadOptions
from pyggml.formats import read_formats
from pyggml.model import Model, load


@dataclass(frozen=True)
class LoadedModel:
    """A model, and how long it took to load."""

    model: Model
    seconds: float


def load_model(path: Path, options: LoadOptions, console: Console, **shared: int) -> LoadedModel:
    """Load the model; `shared` are `n_cache` and `n_sequences` of `load`. Raises PyggmlError."""
    if options.gpu_layers not in (0, "auto"):
        console.warn(f"no usable GPU: -ngl {options.gpu_layers} is left aside, all layers run on the CPU")
    started = time.perf_counter()
    model = load(
        path,
        n_ctx=options.ctx_size,
        n_batch=options.batch_size,
        n_ubatch=options.ubatch_size,
        n_threads=options.threads if options.threads > 0 else None,
        n_gpu_layers=0,
        cache_type_k=options.cache_type_k,
        cache_type_v=options.cache_type_v,
        formats=[form for file in options.format_file for form in read_formats(file)],
        **shared,
        on_compile=lambda name: console.add_to_list("Compiling kernels for this machine (once)", name),
    )
    return LoadedModel(model, time.perf_counter() - started)
