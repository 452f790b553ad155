"""Small models with random weights and a toy tokenizer, which llama.cpp loads: for tests of shapes and options."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, RopeScalingType, TokenType

from pyggml_reference.files import FILE_TYPE_KEY, add_encoded, is_quantizable, write
from pyggml_reference.library import OracleError
from pyggml_reference.mixture import Choose
from pyggml_reference.structures import TensorType

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
# Pieces of the toy vocabulary beyond single bytes, each the sum of two before it; "Ġ" stands for a space.
MERGES = ("t h", "th e", "Ġ the", "i n", "in g", "e r", "o n", "a n", "an d", "Ġ and", "Ġ a", "h e", "l l", "he ll")

_SCALINGS = {"linear": RopeScalingType.LINEAR, "yarn": RopeScalingType.YARN, "none": RopeScalingType.NONE}


@dataclass(frozen=True)
class RandomModel:
    """The shape of a random model. None means: what follows from the architecture or the other sizes."""

    architecture: Literal["llama", "qwen2", "qwen2vl"] = "qwen2"
    seed: int = 0
    n_layers: int = 2
    n_embd: int = 64
    n_head: int = 4
    n_head_kv: int = 2
    head_size: int | None = None  # qwen2 allows n_embd / n_head alone
    n_ff: int = 96
    n_extra_tokens: int = 0  # added to the toy vocabulary, as in padded ones
    n_ctx_train: int = 512
    tied: bool = True
    biases: bool | None = None
    tensor_type: int | Choose = TensorType.F32  # of matrices, or a function (name, NumPy shape) -> type
    epsilon: float = 1e-5
    rope_freq_base: float = 10000.0
    rope_scaling: Literal["none", "linear", "yarn"] | None = None
    rope_factor: float | None = None
    rope_attn_factor: float | None = None
    n_ctx_original: int | None = None
    rope_freq_factors: bool = False  # the tensor rope_freqs.weight of Llama 3; llama only
    chat_template: str | None = None
    sections: tuple[int, int, int] | None = None  # of rotary pairs; qwen2vl only


def toy_vocabulary() -> list[str]:
    """List the tokens of the toy tokenizer: 256 bytes, the merged pieces, the special tokens."""
    return [*_byte_alphabet(), *(merge.replace(" ", "") for merge in MERGES), *SPECIAL_TOKENS]


def random_model(path: str | os.PathLike[str], model: RandomModel) -> None:
    """Write the model to a GGUF file; the same `model` gives the same bytes.

    Raises OracleError for shapes that llama.cpp's architecture does not allow.
    """
    head_size = model.head_size or model.n_embd // model.n_head
    if model.architecture != "llama" and (head_size * model.n_head != model.n_embd or model.rope_freq_factors):
        raise OracleError("qwen2 has heads of n_embd / n_head and no frequency factors: use the architecture llama")
    if model.n_head % model.n_head_kv or head_size % 2:
        raise OracleError(f"{model.n_head} heads of {head_size} on {model.n_head_kv} key-value heads cannot work")
    if (model.architecture == "qwen2vl") != (model.sections is not None) or (
        model.sections and model.n_extra_tokens < 3
    ):
        raise OracleError(
            "qwen2vl, and only that, has sections, and 3 extra tokens at least for what surrounds pictures"
        )
    writer = GGUFWriter(os.fspath(path), model.architecture)
    _add_hyperparameters(writer, model, head_size)
    _add_tokenizer(writer, model)
    for name, values in model_tensors(model):
        if is_quantizable(name, values.ndim):
            chosen = model.tensor_type if isinstance(model.tensor_type, int) else model.tensor_type(name, values.shape)
            add_encoded(writer, name, values, chosen)
        else:
            writer.add_tensor(name, values)
    write(writer)


def _add_hyperparameters(writer: GGUFWriter, model: RandomModel, head_size: int) -> None:
    writer.add_name(f"random {model.architecture} {model.seed}")
    writer.add_block_count(model.n_layers)
    writer.add_context_length(model.n_ctx_train)
    writer.add_embedding_length(model.n_embd)
    writer.add_feed_forward_length(model.n_ff)
    writer.add_head_count(model.n_head)
    writer.add_head_count_kv(model.n_head_kv)
    writer.add_layer_norm_rms_eps(model.epsilon)
    writer.add_rope_freq_base(model.rope_freq_base)
    writer.add_uint32(FILE_TYPE_KEY, 0)
    if model.head_size is not None:
        writer.add_key_length(head_size)
        writer.add_value_length(head_size)
        writer.add_rope_dimension_count(head_size)
    if model.sections is not None:
        writer.add_rope_dimension_sections([*model.sections, 0])
    if model.rope_scaling is not None:
        writer.add_rope_scaling_type(_SCALINGS[model.rope_scaling])
    if model.rope_factor is not None:
        writer.add_rope_scaling_factor(model.rope_factor)
    if model.rope_attn_factor is not None:
        writer.add_rope_scaling_attn_factors(model.rope_attn_factor)
    if model.n_ctx_original is not None:
        writer.add_rope_scaling_orig_ctx_len(model.n_ctx_original)


def _add_tokenizer(writer: GGUFWriter, model: RandomModel) -> None:
    known = toy_vocabulary()
    extra = [f"[PAD{index}]" for index in range(model.n_extra_tokens)]
    if model.sections is not None:
        # They take places of the padding, so that the sizes of the vocabulary are told as for any other model.
        extra = [*VISION_TOKENS, *extra[len(VISION_TOKENS) :]]
    n_normal = len(known) - len(SPECIAL_TOKENS)
    types = (
        [TokenType.NORMAL] * n_normal
        + [TokenType.CONTROL] * len(SPECIAL_TOKENS)
        + [TokenType.CONTROL if token in VISION_TOKENS else TokenType.UNUSED for token in extra]
    )
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(known + extra)
    writer.add_token_types(types)
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(known.index("<|endoftext|>"))
    writer.add_eos_token_id(known.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    if model.chat_template is not None:
        writer.add_chat_template(model.chat_template)


def model_tensors(model: RandomModel) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The tensors by their names in the file, in its order."""
    generator = np.random.default_rng(model.seed)
    head_size = model.head_size or model.n_embd // model.n_head
    n_vocab = len(toy_vocabulary()) + model.n_extra_tokens
    n_q, n_kv = model.n_head * head_size, model.n_head_kv * head_size
    biases = model.architecture != "llama" if model.biases is None else model.biases

    def normal(deviation: float, *shape: int) -> npt.NDArray[np.float32]:
        return (deviation * generator.standard_normal(shape)).astype(np.float32)

    def matrix(n_rows: int, n_columns: int, gain: float = 1.0) -> npt.NDArray[np.float32]:
        return normal(gain / n_columns**0.5, n_rows, n_columns)

    # Gains are such that attention looks at few positions and logits spread by a few units, as in trained models.
    yield "token_embd.weight", matrix(n_vocab, model.n_embd, 2.0)
    yield "output_norm.weight", 1 + normal(0.1, model.n_embd)
    if not model.tied:
        yield "output.weight", matrix(n_vocab, model.n_embd, 2.0)
    if model.rope_freq_factors:
        yield "rope_freqs.weight", np.linspace(1, 8, head_size // 2, dtype=np.float32)
    for layer in range(model.n_layers):
        prefix = f"blk.{layer}"
        yield f"{prefix}.attn_norm.weight", 1 + normal(0.1, model.n_embd)
        for name, n_rows, gain in (("attn_q", n_q, 1.5), ("attn_k", n_kv, 1.5), ("attn_v", n_kv, 1.0)):
            yield f"{prefix}.{name}.weight", matrix(n_rows, model.n_embd, gain)
            if biases:
                yield f"{prefix}.{name}.bias", normal(0.5, n_rows)
        yield f"{prefix}.attn_output.weight", matrix(model.n_embd, n_q)
        yield f"{prefix}.ffn_norm.weight", 1 + normal(0.1, model.n_embd)
        yield f"{prefix}.ffn_gate.weight", matrix(model.n_ff, model.n_embd)
        yield f"{prefix}.ffn_up.weight", matrix(model.n_ff, model.n_embd)
        yield f"{prefix}.ffn_down.weight", matrix(model.n_embd, model.n_ff)


def _byte_alphabet() -> list[str]:
    """Give GPT-2's printable stand-in for each byte: itself when printable in Latin-1, else one from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    alphabet = []
    for byte in range(256):
        n_hidden_before = sum(other not in printable for other in range(byte))
        alphabet.append(chr(byte) if byte in printable else chr(256 + n_hidden_before))
    return alphabet
