"""Checkpoints in the form that Hugging Face publishes: weights in float16, config.json and the tokenizer's files.

python -m demo_models.checkpoint FOLDER    # adds to the weights in FOLDER what else belongs to a checkpoint
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from demo_models.chat_templates import TEXT_TEMPLATE, VL_TEMPLATE
from demo_models.encoder import TOKENIZER_FOLDER, FastEncoder
from demo_models.qwen2vl import DEVIATION, MEAN, Weights
from demo_models.scenes import MAX_UNITS, MIN_UNITS, UNIT
from demo_models.shape import Shape

_HALVES = ("text", "vision")


def load_weights(folder: Path) -> Weights:
    """The weights of a checkpoint, in float32."""
    found: Weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= {name: value.float() for name, value in load_file(str(file)).items()}
    return found


def shape_of(weights: Weights) -> Shape:
    """The shape of the model that has these weights."""
    names = list(weights)
    tower = weights.get("visual.patch_embed.proj.weight")
    width = 0 if tower is None else len(tower)
    return Shape(
        layers=sum(name.endswith("input_layernorm.weight") for name in names),
        tower_layers=sum(name.startswith("visual.") and name.endswith("norm1.weight") for name in names),
        tower_width=width,
    )


def save_weights(weights: Weights, folder: Path) -> None:
    """Write the language model and the tower, a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    halves: dict[str, Weights] = {half: {} for half in _HALVES}
    for name, value in weights.items():
        own = halves["vision" if name.startswith("visual.") else "text"]
        own[name] = value.detach().to("cpu", torch.float16).contiguous()
    present = [half for half in halves.values() if half]
    for index, half in enumerate(present, 1):
        file = folder / f"model-{index:05d}-of-{len(present):05d}.safetensors"
        save_file(half, str(file.with_suffix(".part")), metadata={"format": "pt"})
        file.with_suffix(".part").replace(file)


def complete(folder: Path) -> None:
    """Write what else belongs to the checkpoint whose weights are in the folder."""
    index = {name: file.name for file in sorted(folder.glob("*.safetensors")) for name in load_file(str(file))}
    weights = load_weights(folder)
    shape = shape_of(weights)
    size = sum(value.numel() * 2 for value in weights.values())
    _write(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": index})
    config = _text_config(shape, FastEncoder())
    template = TEXT_TEMPLATE
    if shape.tower_layers:
        config |= _vision_config(shape, FastEncoder())
        template = VL_TEMPLATE
        _write(folder / "preprocessor_config.json", _preprocessor())
        _write(folder / "chat_template.json", {"chat_template": template})
    _write(folder / "config.json", config)
    ends = [config["eos_token_id"], config["pad_token_id"]]
    n_most = 128 if shape.tower_layers else 256
    generation = {"do_sample": False, "eos_token_id": ends, "pad_token_id": ends[1], "max_new_tokens": n_most}
    _write(folder / "generation_config.json", generation)
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        shutil.copy(TOKENIZER_FOLDER / name, folder / name)
    tokenizer = json.loads((TOKENIZER_FOLDER / "tokenizer_config.json").read_text(encoding="utf-8"))
    _write(folder / "tokenizer_config.json", tokenizer | {"chat_template": template})


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _text_config(shape: Shape, encoder: FastEncoder) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": 1 + encoder.token_id("<|video_pad|>"),
        "eos_token_id": encoder.token_id("<|im_end|>"),
        "pad_token_id": encoder.token_id("<|endoftext|>"),
        "torch_dtype": "float16",
        "use_cache": True,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "intermediate_size": shape.ff_width,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_base,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "use_sliding_window": False,
        "initializer_range": 0.02,
        "attention_dropout": 0.0,
    }


def _vision_config(shape: Shape, encoder: FastEncoder) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "bos_token_id": None,
        **{f"{name}_token_id": encoder.token_id(f"<|{name}|>") for name in ("vision_start", "vision_end")},
        "vision_token_id": encoder.token_id("<|vision_pad|>"),
        "image_token_id": encoder.token_id("<|image_pad|>"),
        "video_token_id": encoder.token_id("<|video_pad|>"),
        "rope_scaling": {"type": "mrope", "mrope_section": list(shape.sections)},
        "vision_config": {
            "depth": shape.tower_layers,
            "embed_dim": shape.tower_width,
            "num_heads": shape.tower_heads,
            "mlp_ratio": 4,
            "patch_size": shape.patch,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
            "hidden_act": "quick_gelu",
            "model_type": "qwen2_vl",
            "in_chans": 3,
            "hidden_size": shape.width,
            "spatial_patch_size": shape.patch,
        },
    }


def _preprocessor() -> dict[str, Any]:
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "min_pixels": (MIN_UNITS * UNIT) ** 2,
        "max_pixels": (MAX_UNITS * UNIT) ** 2,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "rescale_factor": 1 / 255,
        "image_mean": list(MEAN),
        "image_std": list(DEVIATION),
    }


if __name__ == "__main__":
    complete(Path(sys.argv[1]))
