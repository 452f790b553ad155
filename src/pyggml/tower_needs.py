"""What a vision tower would need of a GPU's memory, counted by loading it onto one that only counts."""

import os
from collections.abc import Mapping

from pyggml.backend.counting import CountingGPU, picture_bytes
from pyggml.backend.gpu_limits import check_tower_heads
from pyggml.gguf import GGUFFile
from pyggml.models.tower import tower_graph
from pyggml.models.tower_config import TowerConfig
from pyggml.models.tower_weights import load_tower
from pyggml_kernels.formats import Format


def tower_needs(path: str | os.PathLike[str], formats: Mapping[int, Format], max_tokens: int, n_ctx: int) -> int:
    """The bytes of a tower's weights, and of a picture of `max_tokens`, 0 for as many as the file allows, as long as it
    fits into a context of `n_ctx`.

    UsageError, ModelError for what a GPU does not take, and as `Tower` raises them.
    """
    gpu = CountingGPU(formats)
    with GGUFFile.open(path) as file:
        config = TowerConfig.from_file(file)
        check_tower_heads(config.head_size)
        graph = tower_graph(config, load_tower(file, config, gpu, formats))
    limits = config.limits(0, max_tokens)
    n_merged = min(limits.max_pixels // limits.factor**2, n_ctx - 1)
    # No picture is on its way while a matrix passes through.
    return gpu.n_bytes + max(picture_bytes(graph, n_merged), gpu.n_passing_bytes)
