"""The oracle's model runs, and the independent float64 transformer computes the same numbers."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_reference.files import read_scalar_model
from pyggml_reference.library import OracleError
from pyggml_reference.model import ReferenceModel, RopeOverrides
from pyggml_reference.random_model import RandomModel, random_model, toy_vocabulary
from pyggml_reference.scalar import logits, residual_stream
from pyggml_reference.structures import TensorType
from pyggml_reference.tokenizer import ReferenceVocabulary

F32 = TensorType.F32
N_VOCAB = len(toy_vocabulary())
SHAPES = {
    "qwen2": RandomModel(),
    "qwen2 untied, one head each": RandomModel(tied=False, n_head_kv=4, n_extra_tokens=5),
    "llama": RandomModel(architecture="llama"),
    "llama, other head size, one kv head": RandomModel(architecture="llama", head_size=48, n_head=3, n_head_kv=1),
    "llama with biases and frequency factors": RandomModel(
        architecture="llama", biases=True, rope_freq_factors=True, rope_freq_base=500000.0
    ),
    "linear": RandomModel(rope_scaling="linear", rope_factor=4.0),
    "scaling switched off": RandomModel(rope_scaling="none", rope_factor=4.0),
    "yarn": RandomModel(rope_scaling="yarn", rope_factor=4.0, n_ctx_original=64),
    "llama yarn with attention factor": RandomModel(
        architecture="llama", rope_scaling="yarn", rope_factor=8.0, n_ctx_original=32, rope_attn_factor=1.3
    ),
}


def error(found: npt.NDArray[np.float32], exact: npt.NDArray[np.float64]) -> float:
    assert found.shape == exact.shape
    return float(((found - exact) ** 2).sum() / (exact**2).sum())


def draw_tokens(seed: int, n: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(0, N_VOCAB, n)]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 150))
def test_scalar_reference_agrees_on_random_models(
    tmp_path_factory: pytest.TempPathFactory, shape: RandomModel, seed: int, n: int
) -> None:
    path = tmp_path_factory.mktemp("model") / "random.gguf"
    random_model(path, shape)
    config, weights = read_scalar_model(path)
    tokens = draw_tokens(seed, n)
    with ReferenceModel(path, type_k=F32, type_v=F32, flash_attn="off") as model:
        stream = residual_stream(config, weights, tokens)
        # Float32 against float64 through two layers: about (2**-24)**2 per operation; an error of method is above 1e-6.
        assert error(model.hidden_states(tokens, 0), stream[1]) < 1e-10
        assert error(model.logits(tokens), logits(config, weights, tokens)) < 1e-10


def test_context_overrides_replace_the_scaling_of_the_file(tmp_path: Path) -> None:
    random_model(tmp_path / "plain.gguf", RandomModel())
    random_model(tmp_path / "yarn.gguf", RandomModel(rope_scaling="yarn", rope_factor=4.0, n_ctx_original=64))
    config, weights = read_scalar_model(tmp_path / "yarn.gguf")
    tokens = draw_tokens(1, 100)
    rope = RopeOverrides(scaling="yarn", freq_scale=0.25, n_ctx_original=64)
    with ReferenceModel(tmp_path / "plain.gguf", type_k=F32, type_v=F32, flash_attn="off", rope=rope) as model:
        assert error(model.logits(tokens), logits(config, weights, tokens)) < 1e-10


def test_batches_do_not_matter_and_quantized_caches_matter_little(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel(n_head=2))
    tokens = draw_tokens(2, 70)
    with ReferenceModel(path, type_k=F32, type_v=F32, flash_attn="off") as model:
        assert (model.n_vocab, model.n_layers, model.n_embd, model.n_ctx) == (N_VOCAB, 2, 64, 512)
        whole = model.logits(tokens).astype(np.float64)
    with ReferenceModel(path, type_k=F32, type_v=F32, flash_attn="off", n_batch=16, n_ubatch=7) as model:
        assert error(model.logits(tokens), whole) < 1e-10
    with ReferenceModel(path, type_k=TensorType.Q8_0, type_v=TensorType.Q8_0) as model:
        assert 1e-8 < error(model.logits(tokens), whole) < 1e-2


def prompt_before_an_end(model: ReferenceModel) -> list[int]:
    """Find a prompt after which a token that ends generation is most probable; empty if 200 tokens show none."""
    tokens = draw_tokens(4, 200)
    ends = [toy_vocabulary().index(name) for name in ("<|im_end|>", "<|endoftext|>")]
    found = np.flatnonzero(np.isin(model.logits(tokens).argmax(axis=1), ends))
    return tokens[: found[0] + 1] if found.size else []


def test_greedy_follows_the_logits_and_stops_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    for seed in range(100):
        random_model(path, RandomModel(seed=seed))
        with ReferenceModel(path) as model:
            prompt = prompt_before_an_end(model)
            if prompt:
                generated = model.greedy(prompt, 12)
                following = model.logits(prompt + generated)[len(prompt) - 1 : -1]
                assert following.argmax(axis=1).tolist() == generated
                assert model.greedy(prompt, 12, stop_at_end=True) == []
                return
    pytest.fail("no random model of a hundred ends a generation")


def test_a_text_can_be_cut_and_extended(tmp_path: Path) -> None:
    random_model(tmp_path / "m.gguf", RandomModel())
    first, second = draw_tokens(3, 20), draw_tokens(4, 7)
    with ReferenceModel(tmp_path / "m.gguf", n_ctx=256, type_k=F32, type_v=F32, flash_attn="off") as model:
        expected = {len(text): model.logits(text)[-1] for text in (first, first[:9] + second)}
        assert np.allclose(model.extend(first, 0), expected[20], atol=1e-5)
        assert np.allclose(model.extend(second, 9), expected[16], atol=1e-5)
        with pytest.raises(OracleError, match="7 tokens at 250 do not fit the context of 256"):
            model.extend(second, 250)


def test_intermediate_tensors_have_token_rows_and_do_not_disturb(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel())
    config, weights = read_scalar_model(path)
    tokens = draw_tokens(3, 9)
    with ReferenceModel(path) as model:
        names = model.tensor_names(tokens)
        found = model.intermediate(tokens, ["embd", "Qcur-1", "l_out-1", "result_norm", "result_output"])
        np.testing.assert_array_equal(found["result_output"], model.logits(tokens))
    assert names.index("l_out-0") < names.index("l_out-1") < names.index("result_norm")
    assert found["Qcur-1"].shape == (9, 4, 16)
    assert found["l_out-1"].shape == found["result_norm"].shape == (9, 64)
    np.testing.assert_array_equal(found["embd"], weights["token_embd.weight"][tokens])
    assert config.head_size == 16


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel())
    with pytest.raises(OracleError, match=r"cannot make a context: .*quantized V cache requires flash_attn"):
        ReferenceModel(path, type_v=TensorType.Q8_0, flash_attn="off")
    with ReferenceModel(path, n_ctx=256, n_ubatch=8) as model:
        with pytest.raises(OracleError, match="257 tokens do not fit the context of 256"):
            model.logits([0] * 257)
        with pytest.raises(OracleError, match="9 tokens do not fit one micro-batch of 8"):
            model.tensor_names([0] * 9)
        with pytest.raises(OracleError, match="no tensor in the graph is called l_out-2"):
            model.intermediate([0], ["l_out-2"])
        with pytest.raises(OracleError, match=rf"tokens must be in \[0, {N_VOCAB}\) and at least one, found \[9999\]"):
            model.logits([0, 9999])
        with pytest.raises(OracleError, match="at least one, found none"):
            model.logits([])
    with pytest.raises(OracleError, match="the model is closed"):
        model.logits([0])


def test_stories_text(shared: Path) -> None:
    path = shared / "models" / "stories260K.gguf"
    with ReferenceVocabulary(path) as vocabulary, ReferenceModel(path) as model:
        tokens = vocabulary.tokenize("Once upon a time", add_special=True)
        text = vocabulary.detokenize(model.greedy(tokens, 60)).decode()
    assert text.startswith(
        ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red "
        "ball. She wanted to play with it, but it was too high."
    )


def test_scalar_reference_agrees_on_stories(shared: Path) -> None:
    path = shared / "models" / "stories260K.gguf"
    config, weights = read_scalar_model(path)
    tokens = [1, *range(300, 360)]
    with ReferenceModel(path, type_k=F32, type_v=F32, flash_attn="off") as model:
        assert error(model.logits(tokens), logits(config, weights, tokens)) < 1e-10
