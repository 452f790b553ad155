"""Loading a model for the command line, saying what takes long."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyggml.cli.console import Console
from pyggml.cli.model_options import LoadOptions
from pyggml.cli.parameter_types import AUTO
from pyggml.cli.picture_options import NO_TOWER, TowerOptions
from pyggml.formats import read_formats
from pyggml.model import Model, load


@dataclass(frozen=True)
class LoadedModel:
    """A model, and how long it took to load."""

    model: Model
    seconds: float


@contextmanager
def told_warnings(console: Console) -> Iterator[None]:
    """Have RuntimeWarnings told as the program tells its own."""

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        console.warn(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = tell
        yield


def warn_of_shift(model: Model, context_shift: bool, console: Console) -> None:
    """Say so where `--context-shift` cannot do what it says."""
    if context_shift and not model.engine.can_shift:
        console.warn(
            "--context-shift: tokens of a model that sees pictures have several positions, which cannot move down: an"
            " answer ends when the context is full"
        )


def load_model(
    path: Path, options: LoadOptions, console: Console, tower: TowerOptions = NO_TOWER, **shared: int
) -> LoadedModel:
    """Load the model; `shared` are `n_cache` and `n_sequences` of `load`. Raises PyggmlError."""
    started = time.perf_counter()
    with told_warnings(console):
        model = load(
            path,
            n_ctx=options.ctx_size,
            n_batch=options.batch_size,
            n_ubatch=options.ubatch_size,
            n_threads=options.threads if options.threads > 0 else None,
            n_gpu_layers=options.gpu_layers,
            devices=options.device,
            split_mode=options.split_mode,
            main_gpu=options.main_gpu,
            tensor_split=options.tensor_split or (),
            override_tensor=[pair for pairs in options.override_tensor for pair in pairs],
            kv_offload=options.kv_offload,
            cache_type_k=options.cache_type_k,
            cache_type_v=options.cache_type_v,
            formats=[form for file in options.format_file for form in read_formats(file)],
            mmproj=tower.mmproj,
            image_min_tokens=tower.image_min_tokens,
            image_max_tokens=tower.image_max_tokens,
            mmproj_offload=tower.mmproj_offload,
            **shared,
            on_compile=lambda name: console.add_to_list("Compiling kernels for this machine (once)", name),
        )
    if options.gpu_layers == AUTO and model.placement.n_on_gpu:
        console.remark(model.placement.reason)
    return LoadedModel(model, time.perf_counter() - started)
