"""The hyperparameters of a decoder, read from a GGUF file's metadata and checked."""

from dataclasses import dataclass

from pyggml.errors import ModelError
from pyggml.gguf import GGUFFile
from pyggml.models.architecture import Architecture
from pyggml.models.rope import RopeConfig

#: No model comes near; beyond, products of sizes would no longer be sane.
_MOST = 1 << 24


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of a decoder-only transformer."""

    architecture: Architecture
    n_layers: int
    n_vocab: int
    n_ctx_train: int
    n_embd: int
    n_ff: int
    n_heads: int
    n_kv_heads: int
    key_size: int
    """Numbers in one head's query or key."""
    value_size: int
    """Numbers in one head's value."""
    rms_epsilon: float
    attention_scale: float
    rope: RopeConfig

    @classmethod
    def from_file(cls, file: GGUFFile, architecture: Architecture) -> "DecoderConfig":
        """Read `<architecture>.*`; GGUFError for a missing or mistyped key, ModelError for values that cannot be."""
        prefix = architecture.name
        n_embd = file.require(f"{prefix}.embedding_length", int, low=1, high=_MOST)
        n_heads = _uniform(file, f"{prefix}.attention.head_count", None)
        n_kv_heads = _uniform(file, f"{prefix}.attention.head_count_kv", n_heads)
        if n_heads > n_embd:
            raise ModelError(
                f"{file.path}: {prefix}.attention.head_count is {n_heads}, more than {prefix}.embedding_length,"
                f" {n_embd}"
            )
        if n_heads % n_kv_heads:
            raise ModelError(
                f"{file.path}: {prefix}.attention.head_count is {n_heads}, no multiple of"
                f" {prefix}.attention.head_count_kv, {n_kv_heads}"
            )
        if n_experts := file.get(f"{prefix}.expert_count", int, 0):
            raise ModelError(
                f"{file.path}: {prefix}.expert_count is {n_experts}; mixtures of experts are not supported, only 0 is"
            )
        key_size = file.get(f"{prefix}.attention.key_length", int, n_embd // n_heads, low=1, high=_MOST)
        scale = file.get(f"{prefix}.attention.scale", float, 0.0)
        return cls(
            architecture=architecture,
            n_layers=file.require(f"{prefix}.block_count", int, low=1, high=1 << 12),
            n_vocab=_vocabulary_size(file, prefix),
            n_ctx_train=file.require(f"{prefix}.context_length", int, low=1, high=1 << 30),
            n_embd=n_embd,
            n_ff=_uniform(file, f"{prefix}.feed_forward_length", None),
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            key_size=key_size,
            value_size=file.get(f"{prefix}.attention.value_length", int, n_embd // n_heads, low=1, high=_MOST),
            rms_epsilon=file.require(f"{prefix}.attention.layer_norm_rms_epsilon", float, low=0.0),
            attention_scale=scale or key_size**-0.5,
            rope=RopeConfig.from_file(file, prefix, key_size, has_sections=architecture.has_sections),
        )


def _uniform(file: GGUFFile, key: str, default: int | None) -> int:
    """A size that may be given once or for each layer; all layers have to agree."""
    stored = file.metadata.get(key)
    if stored is None and default is not None:
        return default
    if not isinstance(stored, int | float | bool | str | None):
        sizes = set(file.require(key, list[int]))
        if len(sizes) == 1 and (size := sizes.pop()) in range(1, _MOST):
            return size
        raise ModelError(
            f"{file.path}: {key} differs from layer to layer: {sorted(sizes)}; one size for all is supported"
        )
    return file.require(key, int, low=1, high=_MOST)


def _vocabulary_size(file: GGUFFile, prefix: str) -> int:
    """The number of tokens the vocabulary lists, or the key of a file without one."""
    if "tokenizer.ggml.tokens" in file.metadata:
        return len(file.require("tokenizer.ggml.tokens", list))
    return file.require(f"{prefix}.vocab_size", int, low=1, high=_MOST)
