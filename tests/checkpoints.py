"""Checkpoints of every kind that can be converted, small and the same on every machine."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyggml.tokenizer.byte_level import BYTE_ALPHABET
from tests.checkpoint_files import Weights, write_json, write_safetensors, write_sentencepiece, write_torch

QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_REGEX = QWEN2_REGEX.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
MERGES = ("Ġ t", "h e", "Ġt he", "i n", "3 3", "33 3", "Ġ Ġ", "ĠĠ Ġ", "' '", "Ð °", "o n")
QWEN2_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA3_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")
N_VOCAB = 288
# Of a large tensor so many weights are made, and repeated.
_N_DIFFERENT = (1 << 20) + 7


@dataclass(frozen=True)
class Shape:
    """The widths of a language model."""

    n_layers: int = 2
    n_embd: int = 64
    n_ff: int = 96
    n_head: int = 4
    n_head_kv: int = 2
    n_vocab: int = N_VOCAB


def weights(name: str, *shape: int) -> Weights:
    """Numbers between -0.5 and 0.5 that follow from the name, and that BF16 and F16 hold exactly."""
    seed = sum((index + 1) * byte for index, byte in enumerate(name.encode())) * 40503 % 2**32
    n_weights = int(np.prod(shape))
    steps = np.arange(min(n_weights, _N_DIFFERENT), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
    steps ^= steps >> np.uint32(15)
    steps *= np.uint32(2246822519)
    levels = (steps >> np.uint32(24)).astype(np.float32) - np.float32(128)
    return np.resize(levels / np.float32(256), n_weights).reshape(shape)


class MadeTensors(Mapping[str, Weights]):
    """Tensors of these shapes, each made anew when asked for."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def __getitem__(self, name: str) -> Weights:
        return weights(name, *self._shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def language_tensors(shape: Shape, *, biases: bool, tied: bool) -> MadeTensors:
    """The tensors of a Qwen2 (with biases) or a Llama, in the order in which transformers has them."""
    head_dim = shape.n_embd // shape.n_head
    n_kv = shape.n_head_kv * head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.n_vocab, shape.n_embd)}
    for layer in range(shape.n_layers):
        prefix = f"model.layers.{layer}."
        for name, n_rows in (("q", shape.n_embd), ("k", n_kv), ("v", n_kv)):
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = (n_rows, shape.n_embd)
            if biases:
                shapes[f"{prefix}self_attn.{name}_proj.bias"] = (n_rows,)
        shapes |= {
            f"{prefix}self_attn.o_proj.weight": (shape.n_embd, shape.n_embd),
            f"{prefix}mlp.gate_proj.weight": (shape.n_ff, shape.n_embd),
            f"{prefix}mlp.up_proj.weight": (shape.n_ff, shape.n_embd),
            f"{prefix}mlp.down_proj.weight": (shape.n_embd, shape.n_ff),
            f"{prefix}input_layernorm.weight": (shape.n_embd,),
            f"{prefix}post_attention_layernorm.weight": (shape.n_embd,),
        }
    shapes["model.norm.weight"] = (shape.n_embd,)
    if not tied:
        shapes["lm_head.weight"] = (shape.n_vocab, shape.n_embd)
    return MadeTensors(shapes)


def vision_tensors(*, gated: bool, n_layers: int = 3, width: int = 32, n_ff: int = 64) -> MadeTensors:
    """The tensors of the tower of a Qwen2-VL, or (gated) of a Qwen2.5-VL, for a language model of width 64."""
    shapes: dict[str, tuple[int, ...]] = {"visual.patch_embed.proj.weight": (width, 3, 2, 14, 14)}
    linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    if gated:
        linear |= {"mlp.gate_proj": (n_ff, width), "mlp.up_proj": (n_ff, width), "mlp.down_proj": (width, n_ff)}
    else:
        linear |= {"mlp.fc1": (n_ff, width), "mlp.fc2": (width, n_ff)}
    for layer in range(n_layers):
        for norm in ("norm1", "norm2"):
            shapes[f"visual.blocks.{layer}.{norm}.weight"] = (width,)
            if not gated:
                shapes[f"visual.blocks.{layer}.{norm}.bias"] = (width,)
        for name, each in linear.items():
            shapes[f"visual.blocks.{layer}.{name}.weight"] = each
            shapes[f"visual.blocks.{layer}.{name}.bias"] = each[:1]
    shapes["visual.merger.ln_q.weight"] = (width,)
    if not gated:
        shapes["visual.merger.ln_q.bias"] = (width,)
    for name, each in (("0", (4 * width, 4 * width)), ("2", (64, 4 * width))):
        shapes[f"visual.merger.mlp.{name}.weight"] = each
        shapes[f"visual.merger.mlp.{name}.bias"] = each[:1]
    return MadeTensors(shapes)


def write_weights(
    folder: Path, tensors: Mapping[str, Weights], dtype: str, *, n_files: int = 1, torch: bool = False
) -> None:
    """In one file, or in several with an index."""
    stem, ending, write = (
        ("pytorch_model", "bin", write_torch) if torch else ("model", "safetensors", write_safetensors)
    )
    if n_files == 1:
        write(folder / f"{stem}.{ending}", tensors, dtype)
        return
    files: dict[str, str] = {}
    names = list(tensors)
    for index in range(n_files):
        mine = names[index::n_files]
        file_name = f"{stem}-{index + 1:05d}-of-{n_files:05d}.{ending}"
        write(folder / file_name, {name: tensors[name] for name in mine}, dtype)
        files |= dict.fromkeys(mine, file_name)
    write_json(folder / f"{stem}.{ending}.index.json", {"metadata": {}, "weight_map": files})


def write_byte_level(
    folder: Path,
    special: Sequence[str],
    regex: str,
    *,
    merges: Sequence[str] = MERGES,
    bos: str | None = None,
    ignore_merges: bool = False,
    texts: Sequence[str] | None = None,
    **config: Any,
) -> None:
    """tokenizer.json and tokenizer_config.json of a byte-level vocabulary; with `bos` before every text."""
    ordinary = texts or [*BYTE_ALPHABET, *(rule.replace(" ", "") for rule in merges)]
    first = len(ordinary)
    added = [
        {"id": first + index, "content": text, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": text.startswith("<|")}
        for index, text in enumerate(special)
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    ids = {text: first + index for index, text in enumerate(special)}
    write_json(
        folder / "tokenizer.json",
        {
            **{"version": "1.0", "truncation": None, "padding": None, "added_tokens": added},
            "normalizer": None if bos else {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
            "post_processor": _with_bos(bos, ids[bos], byte_level) if bos else byte_level,
            "decoder": byte_level,
            "model": {
                **{"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None},
                **{"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False},
                "ignore_merges": ignore_merges,
                "vocab": {text: index for index, text in enumerate(ordinary)},
                "merges": list(merges) if bos else [rule.split(" ") for rule in merges],
            },
        },
    )
    decoder = {str(each["id"]): {key: value for key, value in each.items() if key != "id"} for each in added}
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": decoder, **config})


def _with_bos(bos: str, token: int, byte_level: Mapping[str, Any]) -> dict[str, Any]:
    start, second_start = ({"SpecialToken": {"id": bos, "type_id": kind}} for kind in (0, 1))
    first, second = ({"Sequence": {"id": "AB"[kind], "type_id": kind}} for kind in (0, 1))
    template = {
        "type": "TemplateProcessing",
        "single": [start, first],
        "pair": [start, first, second_start, second],
        "special_tokens": {bos: {"id": bos, "ids": [token], "tokens": [bos]}},
    }
    return {"type": "Sequence", "processors": [dict(byte_level), template]}


def _write_qwen2_tokenizer(folder: Path) -> None:
    write_byte_level(
        folder,
        (*QWEN2_SPECIAL, "<tool\u2581call>"),
        QWEN2_REGEX,
        tokenizer_class="Qwen2Tokenizer",
        add_bos_token=False,
        bos_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
    )


QWEN2_CONFIG = {
    **{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2},
    **{"intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": N_VOCAB},
    **{"max_position_embeddings": 512, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06, "hidden_act": "silu"},
    **{"tie_word_embeddings": True, "bos_token_id": 267, "eos_token_id": 269, "use_sliding_window": False},
}


def qwen2(folder: Path) -> None:
    """BF16 in three files, tied, with a model card and settings for sampling."""
    write_json(folder / "config.json", QWEN2_CONFIG)
    _write_qwen2_tokenizer(folder)
    write_weights(folder, language_tensors(Shape(), biases=True, tied=True), "BF16", n_files=3)
    write_json(
        folder / "generation_config.json",
        {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05, "eos_token_id": [269, 267]},
    )
    card = (
        "---\nlicense: apache-2.0\nlicense_link: https://example.org/LICENSE\nlanguage:\n- en\n- no\n"
        "base_model: Qwen/Qwen2.5-0.5B\npipeline_tag: text-generation\ntags:\n- chat\n"
        "datasets:\n- org/some-data\n- https://huggingface.co/org/more-data\n---\n# A model\n"
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def qwen2_yarn(folder: Path) -> None:
    """F32 in a file of PyTorch, an output of its own, YaRN."""
    scaling = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    write_json(
        folder / "config.json", {**QWEN2_CONFIG, "tie_word_embeddings": False, "rope_scaling": scaling, "head_dim": 16}
    )
    _write_qwen2_tokenizer(folder)
    write_weights(folder, language_tensors(Shape(), biases=True, tied=False), "F32", torch=True)


LLAMA_CONFIG = {
    **{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2},
    **{"intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": N_VOCAB},
    **{"max_position_embeddings": 256, "rms_norm_eps": 1e-05, "hidden_act": "silu"},
}


def llama3(folder: Path) -> None:
    """BF16, byte-level BPE with BOS, the stretched frequencies of Llama 3.1."""
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_type": "llama3"}
    write_json(
        folder / "config.json",
        {
            **{**LLAMA_CONFIG, "hidden_size": 128, "head_dim": 64, "num_attention_heads": 2, "num_key_value_heads": 1},
            **{"rope_theta": 500000.0, "max_position_embeddings": 131072, "bos_token_id": 267, "eos_token_id": 268},
            **{"rope_scaling": {**scaling, "original_max_position_embeddings": 8192}, "tie_word_embeddings": True},
        },
    )
    write_byte_level(
        folder,
        LLAMA3_SPECIAL,
        LLAMA3_REGEX,
        bos="<|begin_of_text|>",
        ignore_merges=True,
        tokenizer_class="PreTrainedTokenizerFast",
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        clean_up_tokenization_spaces=True,
    )
    shape = Shape(n_embd=128, n_head=2, n_head_kv=1)
    write_weights(folder, language_tensors(shape, biases=False, tied=True), "BF16")
    (folder / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0]['content'] }}\n", encoding="utf-8")


_LLAMA_TEXTS = ("\u2581", "t", "h", "e", "\u2581t", "he", "\u2581the", "a", "n", "an")


def llama_sentencepiece(folder: Path) -> None:
    """F16, many heads for keys and values, a vocabulary of SentencePiece with tokens added later."""
    write_json(folder / "config.json", {**LLAMA_CONFIG, "num_key_value_heads": 4, "rope_theta": 10000.0})
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    pieces += [(text, -float(index), 1) for index, text in enumerate(_LLAMA_TEXTS)]
    pieces += [("<user>", 0.0, 4), ("<nothing>", 0.0, 5)]
    write_sentencepiece(folder / "tokenizer.model", pieces)
    write_json(folder / "added_tokens.json", {"<|tool|>": 271, "<later>": 272})
    write_json(
        folder / "tokenizer_config.json",
        {
            **{"add_bos_token": True, "add_eos_token": False, "add_prefix_space": True, "tokenizer_class": "x"},
            **{"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>", "model_max_length": 256},
            "added_tokens_decoder": {"273": {"content": "a\u2581b", "special": False}},
        },
    )
    shape = Shape(n_head_kv=4)
    write_weights(folder, language_tensors(shape, biases=False, tied=False), "F16")


def llama_byte_fallback(folder: Path) -> None:
    """F32, biases, the default base; a vocabulary of SentencePiece as tokenizer.json."""
    config = {key: value for key, value in LLAMA_CONFIG.items() if key != "num_key_value_heads"}
    write_json(folder / "config.json", {**config, "attention_bias": True, "vocab_size": 271, "eos_token_id": 2})
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *_LLAMA_TEXTS]
    added = [
        {"id": token, "content": text, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": token < 3}
        for text, token in (("<unk>", 0), ("<s>", 1), ("</s>", 2), ("<pad>", 269), ("<user>", 270))
    ]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    write_json(
        folder / "tokenizer.json",
        {
            **{"version": "1.0", "truncation": None, "padding": None, "added_tokens": added},
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace]},
            **{"pre_tokenizer": None, "post_processor": None},
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": {
                **{"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None},
                **{"end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True},
                "vocab": {text: index for index, text in enumerate(texts)},
                "merges": ["\u2581 t", "h e", "\u2581t he", "a n"],
            },
        },
    )
    write_json(
        folder / "tokenizer_config.json",
        {
            **{"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
            **{"pad_token": "<pad>", "add_bos_token": True, "add_eos_token": False},
        },
    )
    shape = Shape(n_head_kv=4, n_vocab=271)
    write_weights(folder, language_tensors(shape, biases=True, tied=False), "F32")


PROCESSOR = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}


def qwen2_vl(folder: Path) -> None:
    """BF16: a language model with M-RoPE, and a tower."""
    tower = {
        **{"depth": 3, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14},
        **{"spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3},
    }
    write_json(
        folder / "config.json",
        {
            **{**QWEN2_CONFIG, "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl"},
            **{"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "vision_config": tower},
        },
    )
    _write_qwen2_tokenizer(folder)
    write_json(folder / "preprocessor_config.json", PROCESSOR)
    tensors = {**language_tensors(Shape(), biases=True, tied=True), **vision_tensors(gated=False)}
    write_weights(folder, tensors, "BF16", n_files=2)


def qwen2_5_vl(folder: Path) -> None:
    """F16: a language model with M-RoPE, and a tower with windows."""
    tower = {
        **{"depth": 4, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 14, "in_chans": 3},
        **{"spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112, "out_hidden_size": 64},
        "fullatt_block_indexes": [1, 3],
    }
    write_json(
        folder / "config.json",
        {
            **{**QWEN2_CONFIG, "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl"},
            **{"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "vision_config": tower},
            "tie_word_embeddings": False,
        },
    )
    _write_qwen2_tokenizer(folder)
    write_json(folder / "preprocessor_config.json", PROCESSOR)
    tensors = {**language_tensors(Shape(), biases=True, tied=False), **vision_tensors(gated=True, n_layers=4)}
    write_weights(folder, tensors, "F16")


CHECKPOINTS: Mapping[str, Callable[[Path], None]] = {
    "Qwen2.5-Tiny-v0.2-Instruct": qwen2,
    "qwen2-yarn": qwen2_yarn,
    "Llama-3.1-0.1M-Chat": llama3,
    "llama-sentencepiece": llama_sentencepiece,
    "llama-byte-fallback": llama_byte_fallback,
    "qwen2-vl": qwen2_vl,
    "qwen2.5-vl": qwen2_5_vl,
}
"""Functions that write each into an empty folder of that name."""


def write_checkpoint(parent: Path, name: str) -> Path:
    """The folder of a checkpoint, written anew."""
    folder = parent / name
    folder.mkdir()
    CHECKPOINTS[name](folder)
    return folder
