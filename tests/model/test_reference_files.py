"""Requantized and random model files: types as llama-quantize chooses them, bytes as ggml encodes them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from pyggml_reference.files import quantize_model, read_scalar_model, requantize, write
from pyggml_reference.library import OracleError
from pyggml_reference.mixture import FILE_TYPES, MixtureConfig, mixture
from pyggml_reference.model import ReferenceModel
from pyggml_reference.quants import quantize
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.structures import TensorType

# Numbers of tensors of each type that llama-quantize gives to the Qwen2.5 models (from its --dry-run).
SMALL = {
    "Q2_K": "Q8_0 1, Q4_0 120, Q5_0 24, Q3_K 24",
    "Q3_K_M": "Q8_0 1, Q4_0 96, Q5_0 46, Q5_1 2, Q5_K 1, Q4_K 23",
    "Q4_K_S": "Q8_0 1, Q5_0 140, Q5_1 4, Q5_K 3, Q4_K 21",
    "Q4_K_M": "Q8_0 13, Q5_0 132, Q6_K 12, Q4_K 12",
    "Q5_K_M": "Q8_0 13, Q5_1 132, Q6_K 12, Q5_K 12",
    "Q6_K": "Q8_0 145, Q6_K 24",
}
MIDDLE = {
    "Q2_K": "Q6_K 1, Q2_K 112, Q3_K 56, Q4_K 28",
    "Q3_K_M": "Q6_K 1, Q3_K 112, Q4_K 81, Q5_K 3",
    "Q4_K_M": "Q6_K 29, Q4_K 168",
}
LARGE = {
    "Q2_K": "Q6_K 1, Q2_K 113, Q3_K 56, Q4_K 28",
    "Q4_K_S": "Q6_K 1, Q4_K 190, Q5_K 7",
    "Q4_K_M": "Q6_K 29, Q4_K 169",
    "Q5_K_M": "Q6_K 29, Q5_K 169",
}
MODELS = {
    "0.5B": (MixtureConfig(24, 14, 2, True), 896, 4864, SMALL),
    "1.5B": (MixtureConfig(28, 12, 2, True), 1536, 8960, MIDDLE),
    "7B": (MixtureConfig(28, 28, 4, False), 3584, 18944, LARGE),
}


def matrices(config: MixtureConfig, n_embd: int, n_ff: int) -> list[tuple[str, tuple[int, int]]]:
    found = [("token_embd.weight", (1000, n_embd))]
    if not config.tied:
        found.append(("output.weight", (1000, n_embd)))
    for layer in range(config.n_layers):
        for role in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"):
            found.append((f"blk.{layer}.{role}.weight", (n_embd, n_embd)))
        found.append((f"blk.{layer}.ffn_down.weight", (n_embd, n_ff)))
    return found


@pytest.mark.parametrize(
    ("model", "file_type"), [(model, file_type) for model in MODELS for file_type in MODELS[model][3]]
)
def test_mixtures_have_the_counts_of_llama_quantize(model: str, file_type: str) -> None:
    config, n_embd, n_ff, expected = MODELS[model]
    choose = mixture(file_type, config)
    counts = Counter(TensorType(choose(name, shape)).name for name, shape in matrices(config, n_embd, n_ff))
    assert counts == {pair.split()[0]: int(pair.split()[1]) for pair in expected[file_type].split(", ")}


def test_an_unknown_mixture_is_named() -> None:
    with pytest.raises(OracleError, match="no mixture is known for 'Q9_K'; known: F32, F16"):
        mixture("Q9_K", MODELS["7B"][0])


@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_a_quantized_copy_loads_and_computes(tmp_path: Path, file_type: str) -> None:
    source, target = tmp_path / "source.gguf", tmp_path / "target.gguf"
    random_model(source, RandomModel(n_embd=256, n_ff=256, n_layers=1))
    quantize_model(source, target, file_type)
    before, after = GGUFReader(source), GGUFReader(target)
    assert [tensor.name for tensor in after.tensors] == [tensor.name for tensor in before.tensors]
    field = after.get_field("general.file_type")
    assert field is not None
    assert field.contents() == FILE_TYPES[file_type][0]
    kinds = {tensor.name: TensorType(int(tensor.tensor_type)) for tensor in after.tensors}
    assert kinds["blk.0.ffn_up.weight"] == FILE_TYPES[file_type][1]
    assert kinds["blk.0.attn_q.bias"] == kinds["output_norm.weight"] == TensorType.F32
    tokens = list(range(30))
    with ReferenceModel(source) as model:
        exact = model.logits(tokens)
    with ReferenceModel(target) as model:
        found = model.logits(tokens)
    assert np.isfinite(found).all()
    assert np.square(found - exact).sum() <= 0.5 * np.square(exact).sum()


def test_requantize_keeps_metadata_and_encodes_by_the_oracle(tmp_path: Path) -> None:
    source, target = tmp_path / "source.gguf", tmp_path / "target.gguf"
    random_model(source, RandomModel(n_embd=64, chat_template="{{ messages }}"))
    requantize(source, target, lambda name, _shape: TensorType.Q5_1 if "ffn_up" in name else TensorType.F16)
    before, after = GGUFReader(source), GGUFReader(target)
    metadata = [{k: f.contents() for k, f in file.fields.items() if k[:5] != "GGUF."} for file in (before, after)]
    assert metadata[0] == metadata[1]
    weights = {tensor.name: tensor for tensor in before.tensors}
    for tensor in after.tensors:
        if "ffn_up" in tensor.name:
            np.testing.assert_array_equal(tensor.data, quantize(TensorType.Q5_1, weights[tensor.name].data))
        elif tensor.name.endswith("_norm.weight") or tensor.name.endswith(".bias"):
            np.testing.assert_array_equal(tensor.data, weights[tensor.name].data)
        else:
            np.testing.assert_array_equal(tensor.data, weights[tensor.name].data.astype(np.float16))


def test_random_models_repeat_and_refuse_impossible_shapes(tmp_path: Path) -> None:
    random_model(tmp_path / "a.gguf", RandomModel(seed=5))
    random_model(tmp_path / "b.gguf", RandomModel(seed=5))
    random_model(tmp_path / "c.gguf", RandomModel(seed=6))
    contents = [(tmp_path / f"{name}.gguf").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]
    with pytest.raises(OracleError, match="qwen2 has heads of n_embd / n_head and no frequency factors"):
        random_model(tmp_path / "d.gguf", RandomModel(head_size=32))
    with pytest.raises(OracleError, match="4 heads of 16 on 3 key-value heads cannot work"):
        random_model(tmp_path / "d.gguf", RandomModel(n_head_kv=3))


def test_scalar_models_of_other_files_are_refused(tmp_path: Path) -> None:
    for name in ("gpt2", "llama"):
        write(GGUFWriter(tmp_path / f"{name}.gguf", name))
    with pytest.raises(OracleError, match="the scalar reference knows llama, qwen2, not gpt2"):
        read_scalar_model(tmp_path / "gpt2.gguf")
    with pytest.raises(OracleError, match=r"the file lacks the key llama\.attention\.head_count"):
        read_scalar_model(tmp_path / "llama.gguf")
