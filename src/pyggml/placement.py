"""Where a model's layers go: on the GPU or the CPU."""

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.protocol import Backend
from pyggml_kernels.formats import FORMATS, Format


@dataclass(frozen=True)
class Placement:
    """A backend for all layers, and the threads it computes with."""

    backend: Backend
    n_threads: int


def place(
    n_gpu_layers: int,
    n_layers: int,
    *,
    formats: Mapping[int, Format],
    n_threads: int | None,
    n_batch: int,
    n_sequences: int,
) -> Placement:
    """The GPU if `n_gpu_layers` asks for all layers and the output, `n_layers` + 1 or more or a negative number.

    RuntimeWarning, and the CPU, if there is no GPU to use, if only some of the layers are asked for, or if the model
    is stored in a format of one's own. formats: those that the model may be stored in, by their number in the file.
    """
    if n_gpu_layers:
        reason = _unavailable()
        if reason is None and 0 < n_gpu_layers <= n_layers:
            reason = f"{n_gpu_layers} of {n_layers + 1} layers were asked for, and only all can go there"
        if reason is None and (own := [form.name for number, form in formats.items() if number not in FORMATS]):
            reason = f"formats of one's own ({', '.join(own)}) are for the CPU"
        if reason is None:
            cuda = importlib.import_module("pyggml.backend.cuda")
            return Placement(cuda.CUDABackend(n_batch, n_sequences), 1)
        warnings.warn(f"all layers run on the CPU, none on a GPU: {reason}", RuntimeWarning, stacklevel=3)
    backend = CPUBackend(n_threads, n_batch, n_sequences, formats)
    return Placement(backend, backend.n_threads)


def _unavailable() -> str | None:
    """Why no GPU can be used; None if one can."""
    try:
        device = importlib.import_module("pyggml_cuda.device")
    except ImportError as error:
        return f"CuPy cannot be imported ({error}); pip install 'pyggml[cuda]'"
    reason: str | None = device.unavailable()
    return reason
