"""The words for models: those of llama.cpp."""

from pathlib import Path

import pytest

from pyggml.bench import summarize_model
from pyggml.gguf import GGUFFile, ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.values import FieldType
from pyggml.gguf.writer import write_gguf
from pyggml.package_data import demo_model


def described(folder: Path, architecture: str, file_type: int | None = None, n_vocab: int = 0, **numbers: int) -> str:
    sizes = {"block_count": 1, "embedding_length": 64, "attention.head_count": 4, **numbers}
    metadata = {"general.architecture": string_field(architecture)}
    for key, value in sizes.items():
        metadata[f"{architecture}.{key}"] = number_field(ValueType.UINT32, value)
    if file_type is not None:
        metadata["general.file_type"] = number_field(ValueType.UINT32, file_type)
    if n_vocab:
        tokens = Field(FieldType(ValueType.ARRAY, ValueType.STRING), [str(i) for i in range(n_vocab)])
        metadata["tokenizer.ggml.tokens"] = tokens
    path = folder / "model.gguf"
    write_gguf(path, metadata, [])
    with GGUFFile.open(path) as file:
        return summarize_model(file).type


def test_the_model_inside_the_package() -> None:
    with GGUFFile.open(demo_model()) as file:
        summary = summarize_model(file)
    # As the stored output of llama-bench has it.
    assert (summary.type, summary.n_bytes, summary.n_elements) == ("qwen2 ?B Q8_0", 8877056, 8331520)


QWEN2 = (
    *((24, 896, "1B"), (24, 1024, "0.5B"), (28, 1536, "1.5B"), (36, 2048, "3B"), (28, 3584, "7B")),
    *((48, 5120, "14B"), (64, 5120, "32B"), (80, 8192, "70B"), (13, 64, "?B")),
)
FILE_TYPES: dict[int | None, str] = {
    None: "(guessed) all F32",
    **{0: "all F32", 1: "F16", 18: "Q6_K", 99: "unknown, may not work"},
    **{10: "Q2_K - Medium", 21: "Q2_K - Small", 11: "Q3_K - Small", 12: "Q3_K - Medium", 13: "Q3_K - Large"},
    **{17: "Q5_K - Medium", 25: "IQ4_NL - 4.5 bpw", 26: "IQ3_S - 3.4375 bpw", 27: "IQ3_S mix - 3.66 bpw"},
    **{29: "IQ2_M - 2.7 bpw", 36: "TQ1_0 - 1.69 bpw ternary", 38: "MXFP4 MoE", 39: "NVFP4"},
}


@pytest.mark.parametrize(("n_layers", "n_embd", "size"), QWEN2)
def test_sizes_of_qwen2(tmp_path: Path, n_layers: int, n_embd: int, size: str) -> None:
    words = described(tmp_path, "qwen2", 15, block_count=n_layers, embedding_length=n_embd)
    assert words == f"qwen2 {size} Q4_K - Medium"


@pytest.mark.parametrize(
    ("n_layers", "n_vocab", "size"),
    [(16, 0, "1B"), (32, 32000, "7B"), (32, 49152, "3B"), (32, 50000, "8B"), (5, 0, "?B")],
)
def test_sizes_of_llama(tmp_path: Path, n_layers: int, n_vocab: int, size: str) -> None:
    assert described(tmp_path, "llama", 7, n_vocab, block_count=n_layers) == f"llama {size} Q8_0"


@pytest.mark.parametrize(("number", "words"), FILE_TYPES.items())
def test_file_types(tmp_path: Path, number: int | None, words: str) -> None:
    assert described(tmp_path, "qwen2", number) == f"qwen2 ?B {words}"
