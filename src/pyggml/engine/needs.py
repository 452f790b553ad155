"""What a model would need of a GPU's memory, counted by loading it onto one that only counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pyggml.backend.arena import lay_out
from pyggml.backend.counting import CountingGPU, MainMemory
from pyggml.backend.overrides import TensorOverride
from pyggml.backend.protocol import CacheShape, WeightStore
from pyggml.gguf import GGUFFile
from pyggml.gpus import CPU
from pyggml.models import DecoderConfig, decoder_graph, load_weights
from pyggml.sharing import Needs
from pyggml_kernels.formats import Format


def gpu_needs(
    file: GGUFFile,
    config: DecoderConfig,
    formats: Mapping[int, Format],
    cache: CacheShape | None,
    n_batch: int,
    overrides: Sequence[tuple[str, str]] = (),
) -> Needs:
    """The bytes of each layer with its part of the cache, of the output, and of a batch whose logits are all wanted.

    Without a cache if it is to be in main memory. Overrides are patterns of names, and the devices of the tensors that
    have such names: these are counted for that GPU alone, with a batch. UsageError, ModelError for what a GPU does not
    take.
    """
    devices = [CountingGPU(formats) for _ in range(config.n_layers + 1)]
    named = {name: CountingGPU(formats) for _, name in overrides if name != CPU}
    others = [TensorOverride[WeightStore](pattern, named.get(name, MainMemory())) for pattern, name in overrides]
    weights = load_weights(file, config, devices, formats, others)
    if cache:
        for device in devices[:-1]:
            device.count_cache(replace(cache, n_layers=1))
    _, n_batch_bytes = lay_out(decoder_graph(config, weights).nodes, {"tokens": n_batch, "outputs": n_batch})
    n_passing_bytes = max(device.n_passing_bytes for device in (*devices, *named.values()))
    taken = {name: device.n_bytes + n_batch_bytes for name, device in named.items()}
    return Needs(tuple(device.n_bytes for device in devices), n_batch_bytes + n_passing_bytes, taken)
