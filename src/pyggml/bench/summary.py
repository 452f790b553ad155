"""What a table says of a model: its type in llama.cpp's words, its size and its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pyggml.gguf import GGUFFile
from pyggml.quantize import in_order
from pyggml.quantize.file_types import FILE_TYPES, guessed_file_type_number
from pyggml.quantize.plan import FILE_TYPE_KEY

#: This bit of a file type's number says that it was guessed from the tensors.
_GUESSED = 1024
_NVFP4 = 39
_SIZES = {"S": "Small", "M": "Medium", "L": "Large"}
_BITS = {
    "IQ1_S": "1.5625",
    "IQ1_M": "1.75",
    "IQ2_XXS": "2.0625",
    "IQ2_XS": "2.3125",
    "IQ2_S": "2.5",
    "IQ2_M": "2.7",
    "IQ3_XXS": "3.0625",
    "IQ3_XS": "3.3",
    "IQ3_S": "3.4375",
    "IQ4_XS": "4.25",
    "IQ4_NL": "4.5",
}
_IRREGULAR = {
    "F32": "all F32",
    "Q2_K": "Q2_K - Medium",
    "IQ3_M": "IQ3_S mix - 3.66 bpw",
    "TQ1_0": "TQ1_0 - 1.69 bpw ternary",
    "TQ2_0": "TQ2_0 - 2.06 bpw ternary",
    "MXFP4_MOE": "MXFP4 MoE",
}


@dataclass(frozen=True)
class ModelSummary:
    """`n_bytes` are those of all tensors' data, `n_elements` all their weights."""

    type: str
    n_bytes: int
    n_elements: int


def summarize_model(file: GGUFFile) -> ModelSummary:
    """Describe an opened file. Raises GGUFError for metadata that lack what tells its size."""
    return ModelSummary(
        f"{file.require('general.architecture', str)} {_size_class(file)} {_file_type(file)}",
        sum(each.n_bytes or 0 for each in file.tensors.values()),
        sum(each.n_elements for each in file.tensors.values()),
    )


def _file_type(file: GGUFFile) -> str:
    type_names = [each.type_name for each in in_order(file.tensors.values())]
    number = file.get(FILE_TYPE_KEY, int, guessed_file_type_number(type_names))
    prefix = "(guessed) " if number & _GUESSED else ""
    return prefix + _FILE_TYPE_NAMES.get(number & ~_GUESSED, "unknown, may not work")


def _file_type_name(name: str) -> str:
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    if name in _BITS:
        return f"{name} - {_BITS[name]} bpw"
    base, size = name[:-2], _SIZES.get(name[-1])
    return f"{base} - {size}" if size and "_K_" in name else name


# Of two names of one number, such as Q3_K and Q3_K_M, the longer one tells the size.
_FILE_TYPE_NAMES: Mapping[int, str] = MappingProxyType(
    {
        **{each.number: _file_type_name(each.name) for each in FILE_TYPES.values() if not each.is_copy},
        _NVFP4: "NVFP4",
    }
)


def _size_class(file: GGUFFile) -> str:
    """The class of sizes, such as 1.5B, that llama.cpp reads from the number of layers; `?B` for any other."""
    architecture = file.require("general.architecture", str)
    n_layers = file.require(f"{architecture}.block_count", int)
    n_embd = file.require(f"{architecture}.embedding_length", int)
    n_head = file.require(f"{architecture}.attention.head_count", int)
    if architecture == "qwen2":
        known = {
            24: "0.5B" if n_embd == 1024 else "1B",
            28: "1.5B" if n_embd == 1536 else "7B",
            40: "4B" if n_head == 20 else "13B",
        }
        known |= {32: "7B", 36: "3B", 48: "14B", 64: "32B", 80: "70B"}
    elif architecture == "llama":
        n_head_kv = file.get(f"{architecture}.attention.head_count_kv", int, n_head)
        known = {32: _llama_of_32_layers(file), 80: "65B" if n_head == n_head_kv else "70B"}
        known |= {16: "1B", 22: "1B", 26: "3B", 28: "3B", 30: "256M", 36: "8B", 40: "13B", 48: "34B", 60: "30B"}
    else:
        known = {}
    return known.get(n_layers, "?B")


def _llama_of_32_layers(file: GGUFFile) -> str:
    """Told apart by the vocabulary: Granite's, Llama 2's, Llama 3's."""
    tokens = file.metadata.get("tokenizer.ggml.tokens", ())
    n_vocab = file.get("llama.vocab_size", int, len(tokens) if isinstance(tokens, list) else 0)
    if n_vocab == 49152:
        return "3B"
    return "7B" if n_vocab < 40000 else "8B"
