"""What a model would need of a GPU's memory, counted by loading it onto one that only counts."""

from collections.abc import Mapping
from dataclasses import replace

from pyggml.backend.arena import lay_out
from pyggml.backend.counting import CountingGPU
from pyggml.backend.gpu_limits import streaming_bytes
from pyggml.backend.graph import Rows
from pyggml.backend.protocol import CacheShape
from pyggml.gguf import GGUFFile
from pyggml.models import DecoderConfig, decoder_graph, load_weights
from pyggml.sharing import Needs
from pyggml_cuda.pieces import PASSING_BYTES
from pyggml_kernels.formats import Format


def gpu_needs(
    file: GGUFFile,
    config: DecoderConfig,
    formats: Mapping[int, Format],
    cache: CacheShape,
    n_batch: int,
    *,
    op_offload: bool = True,
) -> Needs:
    """The bytes of each layer with its part of the cache, of the output, of a batch whose logits are all wanted, and
    with `op_offload` of layers of the CPU that are streamed.

    UsageError, ModelError for what a GPU does not take.
    """
    devices = [CountingGPU(formats) for _ in range(config.n_layers + 1)]
    weights = load_weights(file, config, devices, formats)
    batch: dict[Rows, int] = {"tokens": n_batch, "outputs": n_batch}
    n_layer_bytes = max(device.n_bytes for device in devices[:-1])
    for device in devices[:-1]:
        device.count_cache(replace(cache, n_layers=1))
    _, n_batch_bytes = lay_out(decoder_graph(config, weights).nodes, batch)
    n_streaming = 0
    # The CPU has the first layer if it has any.
    if op_offload and devices[0].is_streamed:
        _, n_streaming = lay_out(decoder_graph(config, weights, 1).nodes, batch)
        n_streaming += streaming_bytes(cache, n_layer_bytes)
    return Needs(tuple(device.n_bytes for device in devices), n_batch_bytes + PASSING_BYTES, n_streaming)
