"""What a model would need of a GPU's memory, counted by loading it onto one that only counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pyggml.backend.arena import lay_out
from pyggml.backend.counting import CountingGPU, MainMemory
from pyggml.backend.gpu_limits import streaming_bytes
from pyggml.backend.graph import Rows
from pyggml.backend.overrides import TensorOverride
from pyggml.backend.protocol import CacheShape, WeightStore
from pyggml.gguf import GGUFFile
from pyggml.gpus import CPU
from pyggml.models import DecoderConfig, decoder_graph, load_weights
from pyggml.sharing import Needs
from pyggml_cuda.pieces import PASSING_BYTES
from pyggml_kernels.formats import Format


def gpu_needs(
    file: GGUFFile,
    config: DecoderConfig,
    formats: Mapping[int, Format],
    cache: CacheShape | None,
    n_batch: int,
    overrides: Sequence[tuple[str, str]] = (),
    *,
    streams: bool = False,
) -> Needs:
    """The bytes of each layer with its part of the cache, of the output, of a batch whose logits are all wanted, and
    with `streams` of layers of the CPU on their way through the GPU.

    Without a cache if it is to be in main memory. Overrides are patterns of names, and the devices of the tensors that
    have such names: these are counted for that GPU alone, with a batch. UsageError, ModelError for what a GPU does not
    take.
    """
    devices = [CountingGPU(formats) for _ in range(config.n_layers + 1)]
    named = {name: CountingGPU(formats) for _, name in overrides if name != CPU}
    others = [TensorOverride[WeightStore](pattern, named.get(name, MainMemory())) for pattern, name in overrides]
    weights = load_weights(file, config, devices, formats, others)
    batch: dict[Rows, int] = {"tokens": n_batch, "outputs": n_batch}
    _, n_batch_bytes = lay_out(decoder_graph(config, weights).nodes, batch)
    n_layer_bytes = max(device.n_bytes for device in devices[:-1])
    if cache:
        for device in devices[:-1]:
            device.count_cache(replace(cache, n_layers=1))
    n_streaming = 0
    # The CPU has the first layer if it has any.
    if streams and cache and devices[0].is_streamed:
        _, n_streaming = lay_out(decoder_graph(config, weights, 1).nodes, batch)
        n_streaming += streaming_bytes(cache, n_layer_bytes)
    taken = {name: device.n_bytes + n_batch_bytes for name, device in named.items()}
    layers = tuple(device.n_bytes for device in devices)
    return Needs(layers, n_batch_bytes + PASSING_BYTES, taken, n_streaming)
