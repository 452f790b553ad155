"""Which type llama-quantize gives to each tensor: counts known from the program, and an independent implementation."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import QuantizeError
from pyggml.gguf import GGML_TYPES, GGUFFile, TensorInfo
from pyggml.quantize import (
    FILE_TYPES,
    Hyperparameters,
    TypeOptions,
    choose_types,
    file_type_named,
    in_order,
    read_hyperparameters,
)
from pyggml.quantize.categories import Category, category_of, may_be_quantized
from pyggml.quantize.choice import requires_importance
from pyggml.quantize.file_types import guessed_file_type_number, tensor_type_named
from pyggml.quantize.mixture import gets_more_bits
from pyggml_reference import mixture as oracle
from tests.unit.gguf_bytes import FileBytes, entry, string, u32
from tests.unit.qwen_shapes import QWEN_0_5B, QWEN_1_5B, QWEN_7B, QWEN_72B, Shape

# Counted in the output of llama-quantize for matrices of these shapes.
GOLDEN = [
    (QWEN_0_5B, "Q2_K", "q8_0 1,q4_0 120,q5_0 24,q3_K 24"),
    (QWEN_0_5B, "Q3_K_M", "q8_0 1,q4_0 96,q5_0 46,q5_1 2,q5_K 1,q4_K 23"),
    (QWEN_0_5B, "Q4_K_S", "q8_0 1,q5_0 140,q5_1 4,q5_K 3,q4_K 21"),
    (QWEN_0_5B, "Q4_K_M", "q8_0 13,q5_0 132,q6_K 12,q4_K 12"),
    (QWEN_0_5B, "Q5_K_M", "q8_0 13,q5_1 132,q6_K 12,q5_K 12"),
    (QWEN_0_5B, "Q6_K", "q8_0 145,q6_K 24"),
    (QWEN_1_5B, "Q2_K", "q6_K 1,q2_K 112,q3_K 56,q4_K 28"),
    (QWEN_1_5B, "Q3_K_M", "q6_K 1,q3_K 112,q4_K 81,q5_K 3"),
    (QWEN_1_5B, "Q4_K_M", "q6_K 29,q4_K 168"),
    (QWEN_7B, "Q2_K", "q6_K 1,q2_K 113,q3_K 56,q4_K 28"),
    (QWEN_7B, "Q4_K_S", "q6_K 1,q4_K 190,q5_K 7"),
    (QWEN_7B, "Q4_K_M", "q6_K 29,q4_K 169"),
    (QWEN_7B, "Q5_K_M", "q6_K 29,q5_K 169"),
]


def chosen(shape: Shape, file_type: str, options: TypeOptions = TypeOptions()) -> dict[str, str]:  # noqa: B008 - frozen
    types = choose_types(shape.tensors(), shape.hyperparameters, file_type_named(file_type), options)
    return {name: known.name for name, known in types.items()}


def matrix(name: str, *shape: int) -> TensorInfo:
    return TensorInfo(name, 1, shape, 0, Path("m.gguf"))


def one(name: str, file_type: str, model: Hyperparameters, *shape: int, **options: object) -> str:
    tensors = [matrix(name, *(shape or (256, 256)))]
    return choose_types(tensors, model, file_type_named(file_type), TypeOptions(**options))[name].name  # type: ignore[arg-type]


DENSE = Hyperparameters("llama", 32, 32, 32)
GROUPED = Hyperparameters("llama", 32, 32, 8)
EXPERTS = Hyperparameters("llama", 32, 32, 8, n_experts=8)


@pytest.mark.parametrize(("shape", "file_type", "counts"), GOLDEN)
def test_golden_counts(shape: Shape, file_type: str, counts: str) -> None:
    expected = {name.upper(): int(count) for name, count in (each.split() for each in counts.split(","))}
    types = chosen(shape, file_type)
    assert Counter(types[each.name] for each in shape.tensors() if may_be_quantized(each)) == expected


def test_a_feed_forward_width_that_is_no_multiple_of_256_falls_back() -> None:
    assert {types for name, types in chosen(QWEN_72B, "Q4_K_M").items() if "ffn_down" in name} == {"Q5_0", "Q8_0"}


def test_values_of_the_72b_get_more_bits_except_as_another_architecture() -> None:
    name = "blk.40.attn_v.weight"
    assert chosen(QWEN_72B, "Q3_K_M")[name] == "Q5_K"
    assert chosen(replace(QWEN_72B, architecture="qwen2vl"), "Q3_K_M")[name] == "Q4_K"


def test_a_llama_of_80_layers_with_a_key_for_each_query_is_no_70b() -> None:
    assert Hyperparameters("llama", 80, 64, 8).is_70b
    assert not Hyperparameters("llama", 80, 64, 64).is_70b
    assert not Hyperparameters("llama", 32, 64, 8).is_70b


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(oracle.FILE_TYPES)),
    st.integers(1, 48),
    st.sampled_from([32, 64, 96, 256, 512, 768]),
    st.sampled_from([256, 512, 96, 32]),
    st.sampled_from([(4, 4), (4, 2), (4, 1), (8, 2)]),
    st.booleans(),
)
def test_the_independent_implementation_agrees(
    file_type: str, n_layers: int, n_columns: int, n_ffn: int, heads: tuple[int, int], tied: bool
) -> None:
    shape = Shape(n_layers, n_columns, n_ffn, *heads, tied=tied)
    choose = oracle.mixture(file_type, oracle.MixtureConfig(n_layers, *heads, tied))
    expected = {
        each.name: choose(each.name, tuple(reversed(each.shape))) for each in shape.tensors() if may_be_quantized(each)
    }
    types = choose_types(shape.tensors(), shape.hyperparameters, file_type_named(file_type))
    assert list(types) == [each.name for each in shape.tensors()]
    assert {name: types[name].type_id for name in expected} == expected
    assert all(types[each.name].name == "F32" for each in shape.tensors() if each.name not in expected)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (24, [0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23]),
        (28, [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]),
        (36, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 31, 32, 33, 34, 35]),
    ],
)
def test_which_layers_get_more_bits(n: int, expected: list[int]) -> None:
    assert [index for index in range(n) if gets_more_bits(index, n)] == expected


def test_tensors_are_in_order_of_layer_then_of_the_bytes_of_the_name() -> None:
    names = ["blk.10.a", "output.weight", "blk.2.b", "blk.2.a", "Z", "token_embd.weight"]
    ordered = ["Z", "output.weight", "token_embd.weight", "blk.2.a", "blk.2.b", "blk.10.a"]
    assert [each.name for each in in_order(matrix(name, 1) for name in names)] == ordered


@pytest.mark.parametrize(
    ("name", "file_type", "model", "expected"),
    [
        ("output.weight", "IQ2_M", DENSE, "Q5_K"),
        ("output.weight", "IQ3_XXS", DENSE, "Q5_K"),
        ("output.weight", "Q8_0", DENSE, "Q8_0"),
        ("output.weight", "MXFP4_MOE", DENSE, "Q8_0"),
        ("token_embd.weight", "Q4_0", DENSE, "Q6_K"),  # tied
        ("blk.0.attn_v.weight", "IQ2_M", GROUPED, "Q4_K"),
        ("blk.0.attn_v.weight", "IQ2_M", DENSE, "IQ3_S"),
        ("blk.0.attn_v.weight", "IQ1_S", DENSE, "Q2_K"),
        ("blk.0.attn_v.weight", "IQ3_XXS", DENSE, "IQ3_S"),
        ("blk.0.attn_v.weight", "IQ3_XS", GROUPED, "Q4_K"),
        ("blk.0.attn_v.weight", "IQ3_S", DENSE, "IQ3_S"),
        ("blk.0.attn_v.weight", "IQ3_M", DENSE, "Q4_K"),
        ("blk.0.attn_v.weight", "IQ4_XS", GROUPED, "Q5_K"),
        ("blk.0.attn_v.weight", "Q2_K_S", GROUPED, "Q4_K"),
        ("blk.0.attn_v.weight", "Q4_K_M", EXPERTS, "Q8_0"),
        ("blk.0.attn_qkv.weight", "Q3_K_L", DENSE, "Q5_K"),
        ("blk.0.attn_k.weight", "IQ3_XS", DENSE, "IQ3_XXS"),
        ("blk.0.attn_q.weight", "IQ3_XXS", DENSE, "IQ2_S"),
        ("blk.0.attn_k.weight", "Q4_K_M", EXPERTS, "Q8_0"),
        ("blk.0.attn_k.weight", "IQ2_XS", EXPERTS, "Q4_K"),
        ("blk.0.attn_output.weight", "IQ1_M", DENSE, "IQ2_XXS"),
        ("blk.0.attn_output.weight", "IQ2_S", DENSE, "IQ3_S"),
        ("blk.0.attn_output.weight", "IQ2_S", EXPERTS, "Q5_K"),
        ("blk.0.attn_output.weight", "IQ3_XXS", DENSE, "IQ3_S"),
        ("blk.0.attn_output.weight", "IQ3_M", DENSE, "Q4_K"),
        ("blk.0.attn_output.weight", "Q3_K_S", EXPERTS, "Q5_K"),
        ("blk.0.attn_output.weight", "Q5_K_M", EXPERTS, "Q5_K"),
        ("blk.0.ffn_down.weight", "IQ2_S", DENSE, "IQ3_S"),
        ("blk.0.ffn_down.weight", "IQ2_XXS", DENSE, "Q2_K"),
        ("blk.0.ffn_down.weight", "IQ3_XXS", DENSE, "Q4_K"),
        ("blk.0.ffn_down.weight", "IQ3_M", DENSE, "Q4_K"),
        ("blk.0.ffn_down.weight", "Q2_K_S", DENSE, "Q4_K"),
        ("blk.16.ffn_down_exps.weight", "IQ3_M", EXPERTS, "IQ3_S"),
        ("blk.18.ffn_down_exps.weight", "IQ3_M", EXPERTS, "Q4_K"),
        ("blk.0.ffn_gate.weight", "IQ3_XS", DENSE, "IQ3_S"),
        ("blk.16.ffn_gate_exps.weight", "IQ3_XS", EXPERTS, "IQ3_XXS"),
        ("blk.31.ffn_up_exps.weight", "IQ3_XS", EXPERTS, "IQ3_S"),
        ("blk.0.ffn_down.weight", "Q3_K_M", replace(DENSE, architecture="falcon"), "Q5_K"),
        ("blk.0.ffn_down.weight", "Q3_K_L", replace(DENSE, architecture="falcon"), "Q4_K"),
        ("blk.0.ffn_down.weight", "Q4_K_M", replace(DENSE, architecture="falcon"), "Q6_K"),
        ("blk.0.ffn_down.weight", "Q4_K_S", replace(DENSE, architecture="falcon"), "Q4_K"),
        ("blk.0.attn_output.weight", "Q3_K_L", replace(DENSE, architecture="falcon"), "Q4_K"),
        ("output.weight", "Q4_0", replace(DENSE, architecture="falcon"), "Q8_0"),
        ("blk.0.ffn_down.weight", "TQ2_0", DENSE, "TQ2_0"),
        ("blk.0.ffn_down.weight", "MXFP4_MOE", DENSE, "Q8_0"),
        ("blk.0.ffn_down.weight", "Q3_K", DENSE, "Q5_K"),
    ],
)
def test_single_rules(name: str, file_type: str, model: Hyperparameters, expected: str) -> None:
    assert one(name, file_type, model) == expected


@pytest.mark.parametrize(
    ("name", "file_type", "expected"),
    [
        ("blk.0.ffn_down.weight", "Q4_0", "Q4_1"),
        ("blk.0.ffn_down.weight", "Q5_0", "Q5_1"),
        ("blk.0.ffn_down.weight", "IQ4_NL", "IQ4_NL"),
        ("blk.0.ffn_down.weight", "IQ3_XXS", "IQ3_XXS"),
        ("blk.0.attn_v.weight", "IQ3_XXS", "IQ3_XXS"),
    ],
)
def test_with_an_importance_matrix_some_rules_differ(name: str, file_type: str, expected: str) -> None:
    assert one(name, file_type, DENSE, has_importance=True) == expected


@pytest.mark.parametrize(
    ("file_type", "expected"), [("IQ1_S", "Q2_K"), ("IQ2_M", "IQ3_S"), ("IQ3_XXS", "IQ3_S"), ("TQ1_0", "Q4_K")]
)
def test_token_embeddings_beside_an_output(file_type: str, expected: str) -> None:
    tensors = [matrix("output.weight", 256, 4), matrix("token_embd.weight", 256, 4)]
    assert choose_types(tensors, DENSE, file_type_named(file_type))["token_embd.weight"].name == expected


def test_experts_in_a_stack_get_mxfp4() -> None:
    assert one("blk.0.ffn_up_exps.weight", "MXFP4_MOE", EXPERTS, 256, 4, 8) == "MXFP4"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blk.0.attn_norm.weight", (256, 4)),
        ("blk.0.attn_q.bias", (256, 4)),
        ("blk.0.x.weight", (256,)),
        ("blk.0.x.weight", (256, 1, 1)),
        ("blk.0.ffn_gate_inp.weight", (256, 4)),
        ("v.patch_embd.weight", (256, 4)),
        ("v.position_embd.weight", (256, 4)),
    ],
)
def test_what_keeps_its_type(name: str, shape: tuple[int, ...]) -> None:
    assert one(name, "Q4_0", DENSE, *shape) == "F16"


@pytest.mark.parametrize(
    ("file_type", "n_columns", "expected"),
    [
        ("Q2_K_S", 128, "Q4_0"),
        ("Q3_K_S", 128, "Q4_0"),
        ("TQ1_0", 128, "Q4_0"),
        ("Q2_0", 32, "Q4_0"),
        ("Q4_K_S", 128, "Q5_0"),
        ("Q5_K_S", 128, "Q5_1"),
        ("Q6_K", 128, "Q8_0"),
        ("IQ2_XS", 128, "IQ4_NL"),
        ("IQ4_XS", 48, "F16"),
        ("Q4_0", 48, "F16"),
        ("MXFP4_MOE", 48, "F16"),
    ],
)
def test_fallbacks(file_type: str, n_columns: int, expected: str) -> None:
    assert one("blk.0.other.weight", file_type, DENSE, n_columns, 4) == expected


def test_no_fallback_is_an_error() -> None:
    with pytest.raises(QuantizeError, match=r"tensor 'x.weight' has rows of 96 weights; Q1_0 needs multiples of 128"):
        one("x.weight", "Q1_0", DENSE, 96, 4)


def test_options() -> None:
    pure = chosen(QWEN_7B, "Q4_K_M", TypeOptions(is_pure=True))
    assert {pure[each.name] for each in QWEN_7B.tensors() if may_be_quantized(each)} == {"Q4_K"}
    assert chosen(QWEN_7B, "Q4_K_M", TypeOptions(leaves_output=True))["output.weight"] == "F16"
    assert chosen(QWEN_7B, "Q4_K_M", TypeOptions(output_type="Q8_0"))["output.weight"] == "Q8_0"
    assert chosen(QWEN_1_5B, "Q4_K_M", TypeOptions(output_type="Q8_0"))["token_embd.weight"] == "Q8_0"
    assert chosen(QWEN_7B, "F16", TypeOptions(output_type="F32"))["output.weight"] == "F32"
    both = TypeOptions(output_type="Q8_0", token_embedding_type="Q2_K")
    assert chosen(QWEN_1_5B, "Q4_K_M", both)["token_embd.weight"] == "Q2_K"


def test_patterns_go_before_the_mixture_and_hold_back_its_counters() -> None:
    patterns = ((re.compile(r"blk\.[01]\.attn_v"), "F32"), (re.compile("attn_v"), "Q8_0"))
    types = chosen(QWEN_7B, "Q4_K_M", TypeOptions(patterns=patterns[:1]))
    assert [types[f"blk.{layer}.attn_v.weight"] for layer in range(5)] == ["F32", "F32", "Q6_K", "Q6_K", "Q6_K"]
    assert chosen(QWEN_7B, "Q4_K_M", TypeOptions(patterns=patterns))["blk.5.attn_v.weight"] == "Q8_0"
    assert chosen(QWEN_7B, "F32", TypeOptions(patterns=patterns))["blk.5.attn_v.weight"] == "F32"


def test_a_table_of_each_layer_follows_patterns_before_the_type_of_embeddings() -> None:
    name, pattern = "per_layer_token_embd.weight", (re.compile("per_layer"), "Q5_0")
    assert one(name, "Q4_0", DENSE, token_embedding_type="Q8_0", patterns=(pattern,)) == "Q5_0"
    assert one(name, "Q4_0", DENSE, token_embedding_type="Q8_0") == "Q8_0"


def test_a_vision_tower_has_no_heads_to_count() -> None:
    tower = Hyperparameters("clip", 0, 0, None)
    assert one("v.blk.0.ffn_down.weight", "Q4_K_M", tower) == "Q6_K"
    with pytest.raises(QuantizeError, match="depends on the attention heads, which a model of architecture 'clip'"):
        one("v.blk.0.attn_v.weight", "Q2_K", tower)


def test_a_layer_outside_of_a_model_with_experts_is_an_error() -> None:
    with pytest.raises(QuantizeError, match=r"'blk.40.ffn_down.weight' is of layer 40; a model of 32 layers"):
        one("blk.40.ffn_down.weight", "Q4_K_M", EXPERTS)


def test_copying_keeps_every_type() -> None:
    assert set(chosen(QWEN_7B, "copy").values()) == {"F16", "F32"}


def test_importance_is_required_where_two_bits_are_left() -> None:
    assert requires_importance("blk.0.ffn_up.weight", "IQ2_XS", file_type_named("IQ2_XS"))
    assert requires_importance("blk.0.ffn_up.weight", "Q2_K", file_type_named("Q2_K_S"))
    assert not requires_importance("blk.0.ffn_up.weight", "Q2_K", file_type_named("Q2_K"))
    assert not requires_importance("token_embd.weight", "IQ2_XS", file_type_named("IQ2_XS"))


def test_file_types_go_by_name_or_number() -> None:
    assert file_type_named("q4_k_m").number == 15
    assert file_type_named("15").name == "Q4_K"
    assert file_type_named("0").name == "F32"
    assert all(each.base in {known.name for known in GGML_TYPES.values()} for each in FILE_TYPES.values())
    with pytest.raises(QuantizeError, match=r"there is no file type 'Q9'; allowed are Q1_0, .* COPY, or their numbers"):
        file_type_named("Q9")
    with pytest.raises(QuantizeError, match="there is no type of tensor 'Q4_K_M'; allowed are F32, F16, "):
        tensor_type_named("Q4_K_M")


@pytest.mark.parametrize(
    ("names", "number"), [(["F32", "Q8_0"], 0), (["F32", "Q8_0", "Q8_0"], 7), (["IQ2_S"], 28), (["MXFP4"], 0), ([], 0)]
)
def test_a_file_type_is_guessed_by_the_commonest_type(names: list[str], number: int) -> None:
    assert guessed_file_type_number(names) == 1024 + number


def test_categories() -> None:
    assert category_of("blk.0.ffn_down_exps.weight") is Category.FFN_DOWN
    assert category_of("v.blk.0.attn_out.weight") is Category.OTHER
    assert category_of("per_layer_token_embd.weight") is Category.TOKEN_EMBEDDING


def test_hyperparameters_are_read_from_metadata(tmp_path: Path) -> None:
    architecture = entry("general.architecture", 8, string("x"))
    heads = entry("x.attention.head_count_kv", 9, b"\x05\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0")
    entries = [architecture, u32("x.block_count", 3), u32("x.attention.head_count", 8), heads, u32("x.expert_count", 2)]
    with GGUFFile.open(FileBytes(entries).write(tmp_path)) as file:
        assert read_hyperparameters(file) == Hyperparameters("x", 3, 8, 2, 2)
    with GGUFFile.open(FileBytes([entry("general.architecture", 8, string("clip"))]).write(tmp_path)) as file:
        assert read_hyperparameters(file) == Hyperparameters("clip", 0, 0, None)
