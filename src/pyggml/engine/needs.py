"""What a model would need of a GPU's memory, counted by loading it onto one that only counts."""

from collections.abc import Mapping
from dataclasses import replace

from pyggml.backend.arena import lay_out
from pyggml.backend.counting import CountingGPU
from pyggml.backend.protocol import CacheShape
from pyggml.gguf import GGUFFile
from pyggml.models import DecoderConfig, decoder_graph, load_weights
from pyggml.sharing import Needs
from pyggml_cuda.pieces import PASSING_BYTES
from pyggml_kernels.formats import Format


def gpu_needs(
    file: GGUFFile, config: DecoderConfig, formats: Mapping[int, Format], cache: CacheShape, n_batch: int
) -> Needs:
    """The bytes of each layer with its part of the cache, of the output, and of a batch whose logits are all wanted.

    UsageError, ModelError for what a GPU does not take.
    """
    devices = [CountingGPU(formats) for _ in range(config.n_layers + 1)]
    weights = load_weights(file, config, devices, formats)
    for device in devices[:-1]:
        device.count_cache(replace(cache, n_layers=1))
    _, n_batch_bytes = lay_out(decoder_graph(config, weights).nodes, {"tokens": n_batch, "outputs": n_batch})
    return Needs(tuple(device.n_bytes for device in devices), n_batch_bytes + PASSING_BYTES)
