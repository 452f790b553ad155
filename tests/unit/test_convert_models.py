"""Language models and vision towers: config.json and the tensors have to agree."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyggml.convert import ConvertOptions, plan_conversion
from pyggml.convert.model_tensor import computed
from pyggml.convert.storing import OUTPUT_TYPES, stored
from pyggml.errors import CheckpointError, UsageError
from pyggml.gguf import GGUFFile
from pyggml.gguf.splitting import write_shards
from tests.checkpoint_files import Weights, write_json
from tests.checkpoints import Shape, language_tensors, vision_tensors, weights, write_checkpoint, write_weights

Change = Callable[[dict[str, Any]], None]


def changed_config(folder: Path, **changes: Any) -> None:
    """Set keys of config.json, or take out those that are set to nothing."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    write_json(path, {key: value for key, value in config.items() if value is not None})


LANGUAGE: list[tuple[dict[str, Any], str]] = [
    (
        {"architectures": ["GPT2LMHeadModel"]},
        "the key 'architectures' is [\"GPT2LMHeadModel\"]; allowed is an array of on",
    ),
    (
        {"architectures": None},
        "the key 'architectures' is null; allowed is an array of one of Qwen2ForCausalLM, Qwen2VL",
    ),
    ({"hidden_size": None}, "the key 'hidden_size' is missing; it must be an integer"),
    ({"num_key_value_heads": None}, "the key 'num_key_value_heads' is missing"),
    ({"num_attention_heads": 0}, "the key 'num_attention_heads' is 0; allowed is at least 1"),
    ({"vocab_size": 1 << 40}, "the key 'vocab_size' is 1099511627776; allowed is at most 4194304"),
    ({"vocab_size": 300}, "tensor 'model.embed_tokens.weight' has the shape (288, 64); config.json tells of (300, 64)"),
    ({"num_hidden_layers": 1}, "tensor 'model.layers.1.mlp.up_proj.weight' is none that a qwen2 of 1 layers has"),
    ({"num_hidden_layers": 3}, "9 tensors are missing, what GGUF calls 'blk.2.attn_norm.weight' among them"),
    ({"tie_word_embeddings": False}, "1 tensors are missing, what GGUF calls 'output.weight' among them"),
    (
        {"quantization_config": {"bits": 4}},
        "the key 'quantization_config' is {\"bits\": 4}; allowed is none: take the ch",
    ),
    (
        {"rope_scaling": {"rope_type": "new"}},
        "the kind of rope scaling is 'new'; allowed are default, mrope, linear, y",
    ),
    ({"rope_scaling": {"type": "yarn"}}, "the key 'rope_scaling.factor' is missing; it must be a number"),
]


@pytest.mark.parametrize(("changes", "message"), LANGUAGE)
def test_a_config_that_does_not_fit_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "Qwen2.5-Tiny-v0.2-Instruct")
    changed_config(folder, **changes)
    with pytest.raises(CheckpointError, match=re.escape(str(folder)) + ".*" + re.escape(message)):
        plan_conversion(folder, None, ConvertOptions())


def test_a_tensor_that_no_model_has_is_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "llama-sentencepiece")
    tensors = {**language_tensors(Shape(n_head_kv=4), biases=False, tied=False), "score.weight": weights("x", 2, 2)}
    write_weights(folder, tensors, "F16")
    with pytest.raises(
        CheckpointError, match=r"tensor 'score.weight' is none that a llama of 2 layers has: is config.j"
    ):
        plan_conversion(folder, None, ConvertOptions())


def test_rows_that_make_no_heads_are_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "llama-sentencepiece")
    changed_config(folder, num_attention_heads=5, head_dim=13)
    with pytest.raises(
        CheckpointError, match=r"has the shape \(64, 64\); its first dimension must be a multiple of 10"
    ):
        plan_conversion(folder, None, ConvertOptions())


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        (
            {"low_freq_factor": 2, "high_freq_factor": 2},
            "high_freq_factor' is 2; allowed is more than the low_freq",
        ),
        ({"low_freq_factor": 0}, "the key 'rope_scaling.low_freq_factor' is 0; allowed is at least 0.001"),
        ({"factor": 1e300}, "the key 'rope_scaling.factor' is 1e+300; allowed is at most 1000000.0"),
        (
            {"original_max_position_embeddings": 0},
            "original_max_position_embeddings' is 0; allowed is at least 1",
        ),
        ({"rope_theta": 0}, "the key 'rope_scaling.rope_theta' is 0; allowed is at least 1"),
    ],
)
def test_frequencies_that_cannot_be_stretched_are_named(scaling: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "Llama-3.1-0.1M-Chat")
    changed_config(folder, rope_scaling={"rope_type": "llama3", **scaling})
    with pytest.raises(CheckpointError, match=re.escape(message)):
        plan_conversion(folder, None, ConvertOptions())


def test_newer_names_and_configs_give_the_same_file(tmp_path: Path) -> None:
    """As of transformers 5 the language model has its own part in config.json, and the base stands by the scaling."""
    folder = write_checkpoint(tmp_path, "qwen2-vl")
    old = [written(folder, tmp_path / f"old-{vision}.gguf", is_vision=vision) for vision in (False, True)]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    outer = ("architectures", "model_type", "vision_config", "tie_word_embeddings", "eos_token_id", "bos_token_id")
    text = {key: value for key, value in config.items() if key not in outer}
    text["rope_parameters"] = {**text.pop("rope_scaling"), "rope_theta": text.pop("rope_theta"), "rope_type": "default"}
    write_json(folder / "config.json", {**{key: config[key] for key in outer}, "text_config": text})
    for path in folder.glob("model*"):
        path.unlink()
    tensors: dict[str, Weights] = {
        name.replace("model.", "model.language_model."): each
        for name, each in language_tensors(Shape(), biases=True, tied=True).items()
    }
    tensors |= {f"model.{name}": each for name, each in vision_tensors(gated=False).items()}
    write_weights(folder, tensors, "BF16", n_files=2)
    processor = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    write_json(folder / "processor_config.json", {"image_processor": processor})
    (folder / "preprocessor_config.json").unlink()
    new = [written(folder, tmp_path / f"new-{vision}.gguf", is_vision=vision) for vision in (False, True)]
    assert new == old


def written(folder: Path, target: Path, **options: Any) -> tuple[dict[str, str], dict[str, bytes]]:
    """What is in the file that converting gives: metadata as text, and tensors."""
    write_shards(plan_conversion(folder, target, ConvertOptions(**options)))
    with GGUFFile.open(target) as file:
        metadata = {key: str(value) for key, value in file.metadata.items()}
        return metadata, {name: file.tensor_bytes(name).tobytes() for name in file.tensors}


VISION: list[tuple[dict[str, Any], str]] = [
    (
        {"architectures": ["Qwen2ForCausalLM"]},
        "allowed is one of Qwen2VLForConditionalGeneration, Qwen2_5_VLForConditio",
    ),
    ({"vision_config": None}, "the key 'vision_config.depth' is missing; it must be an integer"),
    ({"vision_config": {"depth": 4, "fullatt_block_indexes": [1, 2]}}, "'vision_config.hidden_size' is missing"),
]


@pytest.mark.parametrize(("changes", "message"), VISION)
def test_a_tower_that_is_not_described_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "qwen2.5-vl")
    changed_config(folder, **changes)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        plan_conversion(folder, None, ConvertOptions(is_vision=True))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "fullatt_block_indexes",
            [1, 2],
            "the key 'vision_config.fullatt_block_indexes' is [1, 2]; allowed is evenly sp",
        ),
        ("fullatt_block_indexes", [], "the key 'vision_config.fullatt_block_indexes' is []; allowed is evenly spaced"),
        ("depth", 3, "tensor 'visual.blocks.3.attn.proj.bias' is none that a vision tower of 3 layers has"),
        ("depth", 5, "8 tensors of the vision tower are missing, what GGUF calls 'v.blk.4.attn_q.weight' among them"),
    ],
)
def test_a_tower_that_does_not_fit_is_named(key: str, value: object, message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "qwen2.5-vl")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    changed_config(folder, vision_config={**config["vision_config"], key: value})
    with pytest.raises(CheckpointError, match=re.escape(message)):
        plan_conversion(folder, None, ConvertOptions(is_vision=True))


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("visual.patch_embed.proj.weight", (32, 3, 14, 14), "allowed are 5 dimensions, the third of 2"),
        ("visual.blocks.0.attn.qkv.bias", (95,), "has the shape (95,); its first dimension must be a multiple of 3"),
    ],
)
def test_tensors_of_another_shape_are_named(name: str, shape: tuple[int, ...], message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "qwen2.5-vl")
    tensors = {**vision_tensors(gated=True, n_layers=4), name: weights(name, *shape)}
    write_weights(folder, tensors, "F16")
    with pytest.raises(CheckpointError, match=re.escape(f"tensor {name!r}") + ".*" + re.escape(message)):
        plan_conversion(folder, None, ConvertOptions(is_vision=True))


def test_colours_have_to_be_three(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "qwen2.5-vl")
    write_json(folder / "preprocessor_config.json", {"image_mean": [0.5]})
    with pytest.raises(CheckpointError, match=r"the key 'image_mean' is \[0.5\]; allowed is an array of three numbers"):
        plan_conversion(folder, None, ConvertOptions(is_vision=True))


def test_a_tower_has_no_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="--mmproj and --vocab-only exclude each other: a vision tower has no vocabulary"
    ):
        plan_conversion(tmp_path, None, ConvertOptions(is_vision=True, is_vocabulary_only=True))


@pytest.mark.parametrize(
    ("type_name", "value", "message"),
    [
        (
            "F16",
            1e6,
            "tensor 'x.weight' holds weights that F16 cannot hold: overflow encountered in cast: take --outtype",
        ),
        (
            "Q8_0",
            float("nan"),
            "tensor 'x.weight' holds weights that Q8_0 cannot hold: the weight in row 0, column 0 is",
        ),
    ],
)
def test_weights_that_a_type_cannot_hold_are_named(type_name: str, value: float, message: str) -> None:
    output = stored(computed("x.weight", np.full((2, 32), value, np.float32)), OUTPUT_TYPES[type_name])
    with pytest.raises(CheckpointError, match=re.escape(message)):
        list(output.chunks())
