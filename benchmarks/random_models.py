"""Model files with random weights in the shapes of Qwen2.5, for speed and memory: what they say means nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

from pyggml_kernels.formats import Format, format_named

#: Random blocks are repeated after so many rows: to make gigabytes of them would take longer than the test.
_DISTINCT_ROWS = 256


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen2 model; the embedding table is also the output matrix."""

    n_layers: int
    n_embd: int
    n_heads: int
    n_kv_heads: int
    n_ff: int
    n_vocab: int = 151936


SHAPES = {
    "0.5B": Shape(24, 896, 14, 2, 4864),
    "1.5B": Shape(28, 1536, 12, 2, 8960),
    "3B": Shape(36, 2048, 16, 2, 11008),
}


def write_random_model(path: Path, shape: Shape, format_name: str, seed: int = 0) -> None:
    """Write a qwen2 model whose matrices are random blocks of a format."""
    form = format_named(format_name)
    writer = GGUFWriter(path, "qwen2", use_temp_file=False)
    _add_metadata(writer, shape)
    random = np.random.default_rng(seed)
    for name, n_rows, n_columns in _matrices(shape):
        data = _random_rows(form, n_rows, n_columns, random)
        writer.add_tensor(name, data, raw_dtype=GGMLQuantizationType(form.type_id))
    for name, n in _vectors(shape):
        writer.add_tensor(name, np.ones(n, np.float32) if name.endswith("weight") else np.zeros(n, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _random_rows(form: Format, n_rows: int, n_columns: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Rows of random blocks whose scales make weights of about the usual size."""
    n_blocks = n_columns // form.block_size
    distinct = min(n_rows, _DISTINCT_ROWS)
    blocks = np.frombuffer(random.bytes(distinct * n_blocks * form.block_bytes), form.layout).copy()
    if form.layout.names == ("value",):
        blocks["value"] = (random.standard_normal(blocks.shape) * n_columns**-0.5).astype(form.layout["value"])
    for field in ("d", "dmin", "m"):
        if field in (form.layout.names or ()):
            blocks[field] = 2.0**-11
    rows = blocks.view(np.uint8).reshape(distinct, -1)
    return np.resize(rows, (n_rows, rows.shape[1]))


def _matrices(shape: Shape) -> Iterator[tuple[str, int, int]]:
    head_size = shape.n_embd // shape.n_heads
    n_kv = shape.n_kv_heads * head_size
    yield "token_embd.weight", shape.n_vocab, shape.n_embd
    for layer in range(shape.n_layers):
        for name, n_rows, n_columns in (
            ("attn_q", shape.n_embd, shape.n_embd),
            ("attn_k", n_kv, shape.n_embd),
            ("attn_v", n_kv, shape.n_embd),
            ("attn_output", shape.n_embd, shape.n_embd),
            ("ffn_gate", shape.n_ff, shape.n_embd),
            ("ffn_up", shape.n_ff, shape.n_embd),
            ("ffn_down", shape.n_embd, shape.n_ff),
        ):
            yield f"blk.{layer}.{name}.weight", n_rows, n_columns


def _vectors(shape: Shape) -> Iterator[tuple[str, int]]:
    n_kv = shape.n_kv_heads * (shape.n_embd // shape.n_heads)
    yield "output_norm.weight", shape.n_embd
    for layer in range(shape.n_layers):
        yield f"blk.{layer}.attn_norm.weight", shape.n_embd
        yield f"blk.{layer}.ffn_norm.weight", shape.n_embd
        yield f"blk.{layer}.attn_q.bias", shape.n_embd
        yield f"blk.{layer}.attn_k.bias", n_kv
        yield f"blk.{layer}.attn_v.bias", n_kv


def _add_metadata(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_block_count(shape.n_layers)
    writer.add_context_length(32768)
    writer.add_embedding_length(shape.n_embd)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    _add_tokenizer(writer, shape.n_vocab)


def _add_tokenizer(writer: GGUFWriter, n_vocab: int) -> None:
    """Single bytes, and names that no text contains for the rest of the vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    tokens = [letters[byte] for byte in range(256)] + [f"<|unused {i}|>" for i in range(n_vocab - 256)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * 256 + [TokenType.UNUSED] * (n_vocab - 256))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(n_vocab - 1)
