"""What names of models tell; the expected parts are those that llama.cpp's converter finds."""

import gguf
import pytest
from gguf.utility import model_weight_count_rounded_notation
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.convert.model_id import ModelId, parse_model_id, rounded_count, title

WORDS = (
    *("Qwen2.5", "Coder", "0.5B", "Instruct", "7b1", "v0.1", "32K", "128k", "q4_0", "fp16", "Llama", "3.1", "A3B", ""),
    *("8x7B", "large", "mini", "chat", "Meta", "GPTQ", "iter2", "1_5B", "hf", "vl", "Xl", "lora", "Demo", "a", "2 x"),
)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(["", "org/", "./"]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("-".join),
    st.sampled_from([0, 500_000_000, 7_000_000_000]),
)
def test_parts_are_those_of_gguf_py(organization: str, name: str, n_weights: int) -> None:
    expected = gguf.Metadata.get_model_id_components(organization + name, n_weights)
    assert parse_model_id(organization + name, n_weights) == ModelId(*expected)
    expected_title: str = gguf.Metadata.id_to_title(name)  # type: ignore[no-untyped-call]  # gguf-py has no types here
    assert title(name) == expected_title


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**14) | st.sampled_from([10**power + more for power in range(14) for more in (-1, 0, 1)]))
def test_counts_are_rounded_as_by_gguf_py(n_weights: int) -> None:
    assert rounded_count(n_weights) == model_weight_count_rounded_notation(n_weights)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", ("Qwen2.5-0.5B-Instruct", "Qwen", "Qwen2.5", "Instruct", None, "0.5B")),
        ("Llama-3.1-8B", ("Llama-3.1-8B", None, "Llama-3.1", None, None, "8B")),
        ("plain", ("plain", None, None, None, None, None)),
    ],
)
def test_well_known_names(name: str, expected: tuple[str | None, ...]) -> None:
    assert parse_model_id(name) == ModelId(*expected)
