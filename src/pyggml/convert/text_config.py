"""What config.json says of a language model, and what of it the metadata of a GGUF file keeps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pyggml.convert.json_object import JsonObject
from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.values import FieldType, ValueType

#: More than any width, length or number of layers.
MAX_COUNT = 1 << 24
_MAX_TOKENS = 1 << 22
_MAX_ROPE_BASE = 1e12
#: Parts of a head that are turned by time, height, width, and a fourth that no model uses.
_N_SECTIONS = 4


@dataclass(frozen=True)
class Family:
    """A class of transformers: its architecture in GGUF, and what config.json may leave out."""

    architecture: str
    n_ctx: int
    rms_epsilon: float
    rope_base: float


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "Qwen2ForCausalLM": Family("qwen2", 32768, 1e-6, 1e4),
        "Qwen2VLForConditionalGeneration": Family("qwen2vl", 32768, 1e-5, 1e6),
        "Qwen2_5_VLForConditionalGeneration": Family("qwen2vl", 32768, 1e-5, 1e6),
        "LlamaForCausalLM": Family("llama", 2048, 1e-6, 1e4),
    }
)
"""What can be converted, by the name of the class."""


@dataclass(frozen=True)
class Rope:
    """How positions are turned: the base of the frequencies, the kind of scaling, and its values in config.json."""

    base: float
    type_name: str
    values: JsonObject


@dataclass(frozen=True)
class TextConfig:
    """The shape of a language model. `n_vocab` may be more than the tokenizer knows."""

    architecture: str
    n_layers: int
    n_ctx: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    tells_head_dim: bool
    n_vocab: int
    rms_epsilon: float
    rope: Rope
    is_tied: bool

    @property
    def is_rope_interleaved(self) -> bool:
        """Whether GGUF wants the two numbers that are turned together side by side, unlike the checkpoint."""
        return self.architecture == "llama"


def class_name(config: JsonObject) -> str:
    """The class that a checkpoint is of. Raises CheckpointError for one that cannot be converted."""
    names = config.list_of("architectures", str)
    if not names or names[0] not in FAMILIES:
        raise config.error("architectures", f"an array of one of {', '.join(FAMILIES)}")
    return names[0]


def read_text_config(config: JsonObject) -> TextConfig:
    """Read it; checkpoints of models that see may have it under "text_config".

    Raises CheckpointError (file, key, what was found, what is allowed).
    """
    family = FAMILIES[class_name(config)]
    inner = config.inner("text_config")
    text = JsonObject(config.path, {**config.values, **{k: v for k, v in inner.values.items() if v is not None}})
    if "quantization_config" in text.values:
        raise text.error("quantization_config", "none: take the checkpoint that this one was quantized from")
    n_head = _count(text, "num_attention_heads")
    n_embd = _count(text, "hidden_size")
    is_llama = family.architecture == "llama"
    n_head_kv = _count(text, "num_key_value_heads", n_head if is_llama else None)
    return TextConfig(
        architecture=family.architecture,
        n_layers=_count(text, "num_hidden_layers"),
        n_ctx=_count(text, "max_position_embeddings", family.n_ctx),
        n_embd=n_embd,
        n_ff=_count(text, "intermediate_size"),
        n_head=n_head,
        n_head_kv=n_head_kv,
        head_dim=_count(text, "head_dim", max(1, n_embd // n_head)),
        # transformers computes that of Llama models, and the converter then writes it.
        tells_head_dim=is_llama or text.values.get("head_dim") is not None,
        n_vocab=text.require("vocab_size", int, low=1, high=_MAX_TOKENS),
        rms_epsilon=text.get("rms_norm_eps", float, family.rms_epsilon),
        rope=_read_rope(text, family),
        is_tied=text.get("tie_word_embeddings", bool, False),
    )


def _count(values: JsonObject, key: str, default: int | None = None) -> int:
    if default is not None and values.values.get(key) is None:
        return default
    return values.require(key, int, low=1, high=MAX_COUNT)


def _read_rope(text: JsonObject, family: Family) -> Rope:
    """As of transformers 5 the base is among the "rope_parameters", before it stood outside of "rope_scaling"."""
    values = text.inner("rope_parameters" if text.values.get("rope_parameters") else "rope_scaling")
    source = text if values.values.get("rope_theta") is None else values
    base = source.get("rope_theta", float, family.rope_base, low=1, high=_MAX_ROPE_BASE)
    type_name = values.get("rope_type", str, None) or values.get("type", str, "default")
    if type_name not in ("default", "mrope", "linear", "yarn", "llama3", "dynamic"):
        raise CheckpointError(
            f"{values.path}: the kind of rope scaling is {quoted(type_name)}; allowed are default, mrope, linear, "
            "yarn, llama3 and dynamic"
        )
    return Rope(base, type_name, values)


def text_fields(config: TextConfig) -> Iterator[tuple[str, Field]]:
    """The keys of the architecture in the order of llama.cpp's converter. Raises CheckpointError for rope scaling."""
    prefix = config.architecture
    yield f"{prefix}.block_count", _uint32(config.n_layers)
    yield f"{prefix}.context_length", _uint32(config.n_ctx)
    yield f"{prefix}.embedding_length", _uint32(config.n_embd)
    yield f"{prefix}.feed_forward_length", _uint32(config.n_ff)
    yield f"{prefix}.attention.head_count", _uint32(config.n_head)
    yield f"{prefix}.attention.head_count_kv", _uint32(config.n_head_kv)
    for key, field in _rope_fields(config):
        yield f"{prefix}.rope.{key}", field
    yield f"{prefix}.attention.layer_norm_rms_epsilon", _float32(config.rms_epsilon)
    if config.tells_head_dim:
        yield f"{prefix}.attention.key_length", _uint32(config.head_dim)
        yield f"{prefix}.attention.value_length", _uint32(config.head_dim)


def late_text_fields(config: TextConfig) -> Iterator[tuple[str, Field]]:
    """Those that follow the type of the file."""
    if config.architecture == "llama":
        yield "llama.vocab_size", _uint32(config.n_vocab)
        yield "llama.rope.dimension_count", _uint32(config.head_dim)


def _rope_fields(config: TextConfig) -> Iterator[tuple[str, Field]]:
    values = config.rope.values
    if config.rope.type_name in ("linear", "yarn"):
        yield "scaling.type", string_field(config.rope.type_name)
        yield "scaling.factor", _float32(values.require("factor", float))
    if config.rope.type_name == "yarn":
        n_trained = values.get("original_max_position_embeddings", int, config.n_ctx)
        yield "scaling.original_context_length", _uint32(n_trained)
        for key, names in (
            ("ext_factor", ("extrapolation_factor",)),
            ("attn_factor", ("attention_factor", "attn_factor")),
            ("beta_fast", ("beta_fast",)),
            ("beta_slow", ("beta_slow",)),
        ):
            given = [name for name in names if values.values.get(name) is not None]
            if given:
                yield f"scaling.yarn_{key}", _float32(values.require(given[0], float))
    sections = values.list_of("mrope_section", int)
    if sections:
        padded = (sections + [0] * _N_SECTIONS)[:_N_SECTIONS]
        yield "dimension_sections", Field(FieldType(ValueType.ARRAY, ValueType.INT32), padded)
    yield "freq_base", _float32(config.rope.base)


def _uint32(value: int) -> Field:
    return number_field(ValueType.UINT32, value)


def _float32(value: float) -> Field:
    return number_field(ValueType.FLOAT32, value)
