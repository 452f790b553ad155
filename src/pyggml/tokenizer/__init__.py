"""Text to token ids and back, with the vocabulary of a GGUF file and the ids of llama.cpp."""

from pyggml.tokenizer.attributes import TokenAttribute
from pyggml.tokenizer.loading import load_tokenizer
from pyggml.tokenizer.special_tokens import SpecialTokens
from pyggml.tokenizer.stream import TextStream
from pyggml.tokenizer.tokenizer import Tokenizer

__all__ = ["SpecialTokens", "TextStream", "TokenAttribute", "Tokenizer", "load_tokenizer"]
