"""Sampling: from the logits of a model to the next token, by llama.cpp's samplers with llama.cpp's random numbers."""

from pyggml.sampling.candidates import Candidates
from pyggml.sampling.chain import Sampler
from pyggml.sampling.logits import Logits
from pyggml.sampling.names import DEFAULT_SAMPLERS, samplers_from_letters, samplers_from_names
from pyggml.sampling.options import SamplingOptions
from pyggml.sampling.vocabulary import Vocabulary

__all__ = [
    "DEFAULT_SAMPLERS",
    "Candidates",
    "Logits",
    "Sampler",
    "SamplingOptions",
    "Vocabulary",
    "samplers_from_letters",
    "samplers_from_names",
]
