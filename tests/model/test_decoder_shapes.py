"""The decoder on random models of many shapes, against llama.cpp and against a float64 model written independently."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyggml
from pyggml_reference import scalar
from pyggml_reference.files import read_scalar_model
from pyggml_reference.model import ReferenceModel
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.structures import TensorType

#: With float32 weights and caches both are far below what rounding to any other format would do.
MAX_NMSE = 1e-10

SHAPES = {
    "qwen2": RandomModel(),
    "llama": RandomModel(architecture="llama"),
    "one key/value head": RandomModel(n_head=4, n_head_kv=1),
    "a key/value head each": RandomModel(architecture="llama", n_head=4, n_head_kv=4),
    "wide heads": RandomModel(architecture="llama", n_head=2, n_head_kv=1, head_size=96),
    "narrow heads": RandomModel(architecture="llama", n_head=6, n_head_kv=3, head_size=8),
    "untied": RandomModel(tied=False),
    "llama with biases": RandomModel(architecture="llama", biases=True, tied=False),
    "padded vocabulary": RandomModel(n_extra_tokens=37),
    "linear scaling": RandomModel(rope_scaling="linear", rope_factor=4.0),
    "linear scaling, llama": RandomModel(architecture="llama", rope_scaling="linear", rope_factor=2.5),
    "yarn": RandomModel(rope_scaling="yarn", rope_factor=4.0, n_ctx_original=128, rope_freq_base=1e6),
    "yarn, llama": RandomModel(architecture="llama", rope_scaling="yarn", rope_factor=8.0, n_ctx_original=64),
    "yarn with a factor": RandomModel(
        rope_scaling="yarn", rope_factor=2.0, n_ctx_original=256, rope_attn_factor=0.8, n_head=2, n_head_kv=2
    ),
    "frequency factors": RandomModel(architecture="llama", rope_freq_factors=True, rope_freq_base=5e5),
    "epsilon": RandomModel(epsilon=0.1),
}


def nmse(expected: npt.NDArray[np.floating], found: npt.NDArray[np.floating]) -> float:
    """Normalized mean squared error."""
    e, f = expected.astype(np.float64), found.astype(np.float64)
    return float(((e - f) ** 2).sum() / (e**2).sum())


def tokens_for(path: Path, n: int) -> list[int]:
    """Random tokens of a file's vocabulary."""
    with pyggml_file(path) as file:
        n_vocab = len(file.require("tokenizer.ggml.tokens", list))
    return [int(token) for token in np.random.default_rng(n).integers(0, n_vocab, n)]


def pyggml_file(path: Path) -> pyggml.GGUFFile:
    """The file, open."""
    return pyggml.GGUFFile.open(path)


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_hidden_states_of_a_shape(shape: str, tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, SHAPES[shape])
    tokens = tokens_for(path, 150)
    model = pyggml.load(path, n_ctx=256, cache_type_k="f32", cache_type_v="f32")
    found = model.logits(tokens)
    with ReferenceModel(path, n_ctx=256, type_k=TensorType.F32, type_v=TensorType.F32, flash_attn="off") as reference:
        assert nmse(reference.logits(tokens), found) <= MAX_NMSE
        states = {layer: reference.hidden_states(tokens, layer) for layer in range(model.config.n_layers)}
    for layer, expected in states.items():
        assert nmse(expected, model.hidden_states(tokens, layer + 1)) <= MAX_NMSE
    config, weights = read_scalar_model(path)
    assert nmse(scalar.logits(config, weights, tokens), found) <= MAX_NMSE


@settings(max_examples=15, deadline=None)
@given(
    architecture=st.sampled_from(["llama", "qwen2"]),
    n_kv_heads=st.integers(1, 3),
    group=st.integers(1, 5),
    pairs=st.integers(1, 20),
    n_layers=st.integers(1, 3),
    n_ff=st.integers(1, 70),
    tied=st.booleans(),
    n_tokens=st.integers(1, 80),
)
def test_logits_of_any_shape(
    architecture: str,
    n_kv_heads: int,
    group: int,
    pairs: int,
    n_layers: int,
    n_ff: int,
    tied: bool,
    n_tokens: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("shape") / "random.gguf"
    n_heads = n_kv_heads * group
    sizes = {"n_layers": n_layers, "n_head": n_heads, "n_head_kv": n_kv_heads, "n_ff": n_ff, "tied": tied}
    random_model(path, RandomModel(architecture=architecture, n_embd=n_heads * pairs * 2, **sizes))  # type: ignore[arg-type]  # a choice of hypothesis is a str
    tokens = tokens_for(path, n_tokens)
    found = pyggml.load(path, n_ctx=256, cache_type_k="f32", cache_type_v="f32").logits(tokens)
    config, weights = read_scalar_model(path)
    assert nmse(scalar.logits(config, weights, tokens), found) <= MAX_NMSE


@pytest.mark.parametrize(
    ("name", "type_id"),
    [("f32", TensorType.F32), ("f16", TensorType.F16), ("bf16", TensorType.BF16), ("q8_0", TensorType.Q8_0)],
)
def test_formats_of_the_cache(name: str, type_id: int, tmp_path: Path) -> None:
    # Heads of 64 numbers: a quantized cache is then rotated by Hadamard's matrix, in llama.cpp as here.
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel(n_embd=256, n_head=4, n_head_kv=2, n_layers=1))
    tokens = tokens_for(path, 200)
    found = pyggml.load(path, n_ctx=256, cache_type_k=name, cache_type_v=name).logits(tokens)
    config, weights = read_scalar_model(path)
    exact = scalar.logits(config, weights, tokens)
    with ReferenceModel(path, n_ctx=256, type_k=type_id, type_v=type_id, flash_attn="on") as reference:
        theirs = reference.logits(tokens)
    # The cache's own rounding is what separates both from exact numbers; the two must lie much closer together.
    assert nmse(theirs, found) <= {"f32": 1e-6, "f16": 1e-9, "bf16": 1e-6, "q8_0": 1e-6}[name]
    if name in ("bf16", "q8_0"):
        assert nmse(theirs, found) < nmse(exact, found) / 10


def test_the_same_bits_whatever_the_batch_and_the_threads(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel(n_embd=256, n_head=4, n_head_kv=2, n_ff=512, tensor_type=TensorType.Q4_K))
    tokens = tokens_for(path, 130)
    expected = pyggml.load(path, n_ctx=256, n_threads=1).logits(tokens)
    for n_threads, n_ubatch in ((2, 512), (3, 7), (None, 1)):
        model = pyggml.load(path, n_ctx=256, n_threads=n_threads, n_ubatch=n_ubatch)
        np.testing.assert_array_equal(model.logits(tokens), expected)
