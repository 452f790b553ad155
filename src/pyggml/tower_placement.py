"""Where a vision tower is computed, and the formats that it may be stored in."""

import os
from collections.abc import Iterable, Mapping

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.protocol import TowerBackend
from pyggml.errors import UsageError
from pyggml.formats import Formats
from pyggml.gguf import GGUFFile
from pyggml.models import DecoderConfig
from pyggml.placement import Placement
from pyggml_kernels.formats import Format, OwnFormat


def tower_formats(
    path: str | os.PathLike[str], config: DecoderConfig, formats: Iterable[OwnFormat]
) -> Mapping[int, Format]:
    """The formats that the file of a tower may be stored in; UsageError for a model that sees no pictures."""
    if not config.architecture.has_sections:
        raise UsageError(
            f"mmproj is {os.fspath(path)}, but a model of the architecture {config.architecture.name} sees no pictures"
        )
    with GGUFFile.open(path) as file:
        return Formats.of(formats).for_file(file).by_number


def tower_backend(
    placement: Placement, n_threads: int | None, formats: Mapping[int, Format], *, offload: bool
) -> TowerBackend:
    """What computes the tower: the GPU if layers are there, unless it is not to."""
    if placement.n_on_gpu and offload:
        return placement.layers[-1]
    if placement.n_on_gpu < len(placement.layers):
        return placement.layers[0]
    return CPUBackend(n_threads, 1, 1, formats)
