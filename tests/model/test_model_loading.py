"""Files and options that cannot be used: each a clear error; and what a loaded model tells of itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyggml
from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cpu.cache import CPUCache
from pyggml.backend.protocol import CacheShape
from pyggml.errors import ContextError, GGUFError, ModelError, UsageError
from pyggml_reference.random_model import RandomModel, random_model
from tests.model.rewriting import rewrite


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loading") / "random.gguf"
    random_model(path, RandomModel())
    return path


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"general.architecture": "mamba"}, ModelError, "'mamba', which is not supported; supported: llama, qwen2"),
        ({"qwen2.block_count": None}, GGUFError, r"qwen2\.block_count"),
        ({"qwen2.block_count": 3}, ModelError, r"tensor 'blk\.2\.attn_norm\.weight' is missing"),
        ({"qwen2.block_count": 0}, GGUFError, r"qwen2\.block_count"),
        ({"qwen2.attention.head_count_kv": 3}, ModelError, "head_count is 4, no multiple of .*head_count_kv, 3"),
        ({"qwen2.attention.head_count": 0}, GGUFError, r"qwen2\.attention\.head_count"),
        ({"qwen2.attention.head_count": 128}, ModelError, r"head_count is 128, more than qwen2\.embedding_length, 64"),
        ({"qwen2.feed_forward_length": ["a", "b"]}, GGUFError, r"qwen2\.feed_forward_length"),
        ({"qwen2.rope.freq_base": 1.0}, GGUFError, r"qwen2\.rope\.freq_base"),
        ({"qwen2.rope.scaling.factor": -2.0}, GGUFError, r"qwen2\.rope\.scaling\.factor"),
        ({"qwen2.rope.scaling.original_context_length": 0}, GGUFError, "original_context_length"),
        ({"qwen2.attention.head_count_kv": [2, 1]}, ModelError, r"differs from layer to layer: \[1, 2\]"),
        ({"qwen2.expert_count": 8}, ModelError, "mixtures of experts are not supported"),
        (
            {"qwen2.rope.dimension_count": 8},
            ModelError,
            "dimension_count is 8; supported is .* equal to the head size, 16",
        ),
        ({"qwen2.rope.scaling.type": "longrope"}, ModelError, "'longrope'; supported are none, linear, yarn"),
        ({"qwen2.embedding_length": 32}, ModelError, r"'token_embd\.weight' has shape .* ask for"),
        ({"qwen2.attention.layer_norm_rms_epsilon": None}, GGUFError, "layer_norm_rms_epsilon"),
        ({"qwen2.context_length": "many"}, GGUFError, r"qwen2\.context_length"),
    ],
)
def test_metadata_that_cannot_be(
    keys: dict[str, Any], error: type[Exception], message: str, source: Path, tmp_path: Path
) -> None:
    path = tmp_path / "changed.gguf"
    rewrite(source, path, keys)
    with pytest.raises(error, match=message) as found:
        pyggml.load(path)
    assert str(path) in str(found.value)


def test_head_counts_may_be_given_for_each_layer(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.gguf"
    rewrite(source, path, {"qwen2.attention.head_count_kv": [2, 2], "qwen2.feed_forward_length": [96, 96]})
    np.testing.assert_array_equal(pyggml.load(path).logits([1, 2, 3]), pyggml.load(source).logits([1, 2, 3]))


def test_a_missing_tensor(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.gguf"
    rewrite(source, path, {}, lambda name, data: None if name == "blk.1.ffn_up.weight" else (name, data))
    with pytest.raises(ModelError, match=r"tensor 'blk\.1\.ffn_up\.weight' is missing; the file is incomplete"):
        pyggml.load(path)


def test_a_missing_bias(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.gguf"
    rewrite(source, path, {}, lambda name, data: None if name == "blk.0.attn_k.bias" else (name, data))
    with pytest.raises(ModelError, match=r"'blk\.0\.attn_k\.bias' is missing"):
        pyggml.load(path)


def test_a_tensor_of_the_wrong_shape(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.gguf"
    rewrite(source, path, {}, lambda name, data: (name, data.T.copy() if name == "blk.0.ffn_up.weight" else data))
    with pytest.raises(ModelError, match=r"'blk\.0\.ffn_up\.weight' has shape \[96, 64\]; .* ask for \[64, 96\]"):
        pyggml.load(path)


def test_a_tensor_of_an_unsupported_type(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.gguf"
    rewrite(source, path, {}, lambda name, data: (name, data.astype(np.float64) if "ffn_up" in name else data))
    with pytest.raises(ModelError, match=r"'blk\.0\.ffn_up\.weight' has type F64; supported types: F32, F16"):
        pyggml.load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_ctx": -1}, "n_ctx is -1; allowed are 0 to"),
        ({"n_batch": 0}, "n_batch is 0; allowed are 1 to"),
        ({"n_sequences": 0}, "n_sequences is 0; allowed are 1 to"),
        ({"n_ubatch": 0}, "n_ubatch is 0"),
        ({"n_threads": 0}, "n_threads is 0"),
        ({"cache_type_k": "q3"}, "cache_type_k is 'q3'; allowed are f32, f16, bf16, q8_0"),
        ({"cache_type_v": "F16"}, "cache_type_v is 'F16'"),
        ({"cache_type_k": "q8_0"}, "needs heads of a multiple of 32 numbers; this model's have 16"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str, source: Path) -> None:
    with pytest.raises(UsageError, match=message):
        pyggml.load(source, **options)


def test_a_context_that_no_memory_holds(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whether a system promises terabytes that it has not is its own affair, so the refusal is a fake.
    def refuse(self: CPUBackend, shape: CacheShape) -> CPUCache:
        raise MemoryError("Unable to allocate 8.00 TiB")

    monkeypatch.setattr(CPUBackend, "cache", refuse)
    with pytest.raises(
        ModelError, match=r"no memory for the key/value cache of 512 positions .* choose a smaller context"
    ):
        pyggml.load(source)


def test_layers_on_a_gpu_that_is_not_there(source: Path) -> None:
    with pytest.warns(RuntimeWarning, match="all layers run on the CPU, none on a GPU: "):
        pyggml.load(source, n_gpu_layers=20)


def test_sizes_of_a_context(source: Path) -> None:
    model = pyggml.load(source)
    assert (model.n_ctx, model.n_ctx_train) == (512, 512)
    assert pyggml.load(source, n_ctx=300).n_ctx == 512
    assert pyggml.load(source, n_ctx=256).n_ctx == 256


def test_hidden_states_and_logits_that_cannot_be(source: Path) -> None:
    model = pyggml.load(source, n_ctx=256)
    with pytest.raises(UsageError, match=r"layer is 3; the model has layers 0 .* to 2"):
        model.hidden_states([1], 3)
    with pytest.raises(UsageError, match="layer is -1"):
        model.hidden_states([1], -1)
    with pytest.raises(ContextError, match="0 tokens; the context holds 1 to 256"):
        model.logits([])
    with pytest.raises(ContextError, match="257 tokens"):
        model.logits([1] * 257)
    with pytest.raises(UsageError, match="token 100000 is not in the vocabulary"):
        model.logits([100000])


def test_the_embedding_is_the_hidden_state_before_all_layers(source: Path) -> None:
    model = pyggml.load(source, n_ctx=256)
    tokens = [5, 6, 5]
    states = model.hidden_states(tokens, 0)
    np.testing.assert_array_equal(states[0], states[2])
    table = model.file.tensor_bytes("token_embd.weight").view(np.float32).reshape(-1, model.config.n_embd)
    np.testing.assert_array_equal(states, table[tokens])


def test_fingerprints_tell_models_apart(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    random_model(other, RandomModel(seed=1, n_ff=64))
    fingerprints = [
        pyggml.load(source).fingerprint,
        pyggml.load(source, cache_type_v="f32").fingerprint,
        pyggml.load(other).fingerprint,
    ]
    assert len(set(fingerprints)) == 3
    assert pyggml.load(source, n_ctx=256).fingerprint == fingerprints[0]
