"""Loading a model for the command line, saying what takes long."""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from pyggml.cli.console import Console
from pyggml.cli.model_options import LoadOptions
from pyggml.cli.parameter_types import ALL
from pyggml.cli.picture_options import NO_TOWER, TowerOptions
from pyggml.formats import read_formats
from pyggml.model import Model, load


@dataclass(frozen=True)
class LoadedModel:
    """A model, and how long it took to load."""

    model: Model
    seconds: float


def load_model(
    path: Path, options: LoadOptions, console: Console, tower: TowerOptions = NO_TOWER, **shared: int
) -> LoadedModel:
    """Load the model; `shared` are `n_cache` and `n_sequences` of `load`. Raises PyggmlError."""
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        model = load(
            path,
            n_ctx=options.ctx_size,
            n_batch=options.batch_size,
            n_ubatch=options.ubatch_size,
            n_threads=options.threads if options.threads > 0 else None,
            n_gpu_layers=_n_gpu_layers(options.gpu_layers),
            cache_type_k=options.cache_type_k,
            cache_type_v=options.cache_type_v,
            formats=[form for file in options.format_file for form in read_formats(file)],
            mmproj=tower.mmproj,
            image_min_tokens=tower.image_min_tokens,
            image_max_tokens=tower.image_max_tokens,
            **shared,
            on_compile=lambda name: console.add_to_list("Compiling kernels for this machine (once)", name),
        )
    for each in caught:
        console.warn(str(each.message))
    return LoadedModel(model, time.perf_counter() - started)


def _n_gpu_layers(choice: int | str) -> int:
    """The layers to ask for; nobody has measured yet how many would fit, so `auto` asks for none."""
    if isinstance(choice, int):
        return choice
    return -1 if choice == ALL else 0
