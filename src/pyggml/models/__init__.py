"""Model architectures: from a GGUF file's metadata and tensors to a graph."""

from pyggml.models.config import DecoderConfig
from pyggml.models.decoder import decoder_graph
from pyggml.models.registry import ARCHITECTURES, architecture_of
from pyggml.models.weights import DecoderWeights, load_weights

__all__ = ["ARCHITECTURES", "DecoderConfig", "DecoderWeights", "architecture_of", "decoder_graph", "load_weights"]
