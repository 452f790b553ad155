"""What Hugging Face's transformers makes of pictures, in float32, for tests that have no torch.

python -m pyggml_reference.transformers_vectors tests/data    # reference/ on PYTHONPATH; needs torch, transformers 5

The weights are those of `random_tower` and `random_model`, made anew by a test from their seeds; a file keeps the
pictures' patches, the tower's vectors, and the logits behind a prompt with two pictures. Patches are those of the
processor that uses Pillow, which normalizes step by step as llama.cpp does; the one for torch fuses the steps.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_reference.random_model import RandomModel, model_tensors, toy_vocabulary
from pyggml_reference.random_tower import RandomTower, tower_tensors
from pyggml_reference.structures import TensorType

Floats = npt.NDArray[np.float32]

#: What the vectors were made of.
TEXT = RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3)
TOWERS = {
    "qwen2vl": RandomTower(n_ff=256, tensor_type=TensorType.F32),
    "qwen2_5_vl": RandomTower(is_second=True, tensor_type=TensorType.F32),
}
#: Multiples of 28, which nobody resizes; the last is larger than a window of Qwen2.5-VL in both directions.
SIZES = ((56, 84), (140, 28), (168, 196))
#: Text, a picture, text, another one, text.
TEXTS = ((5, 9, 70, 200), (33, 2), (7, 7, 100))
_START, _END, _IMAGE = (len(toy_vocabulary()) + index for index in range(3))
_MEAN, _DEVIATION = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


def picture(width: int, height: int) -> npt.NDArray[np.uint8]:
    """The picture of this size, (height, width, 3)."""
    return np.random.default_rng(1000 * width + height).integers(0, 256, (height, width, 3), np.uint8)


def prompt_tokens(n_first: int, n_second: int) -> list[int]:
    """The prompt with two pictures, whose tokens are <|image_pad|>."""
    first, second, third = TEXTS
    pictures = [[_START, *[_IMAGE] * n, _END] for n in (n_first, n_second)]
    return [*first, *pictures[0], *second, *pictures[1], *third]


def _vision_state(tower: RandomTower) -> dict[str, Floats]:
    """The tower's weights by the names of transformers."""
    given = dict(tower_tensors(tower))
    state = {
        "patch_embed.proj.weight": np.stack([given["v.patch_embd.weight"], given["v.patch_embd.weight.1"]], axis=2)
    }
    mlp = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    if not tower.is_second:
        mlp = {"ffn_up": "mlp.fc1", "ffn_down": "mlp.fc2"}
    names = {"ln1": "norm1", "ln2": "norm2", "attn_out": "attn.proj", **mlp}
    for layer in range(tower.n_layers):
        for kind in ("weight", "bias"):
            qkv = [given[f"v.blk.{layer}.attn_{each}.{kind}"] for each in "qkv"]
            state[f"blocks.{layer}.attn.qkv.{kind}"] = np.concatenate(qkv)
            for name, theirs in names.items():
                if (key := f"v.blk.{layer}.{name}.{kind}") in given:
                    state[f"blocks.{layer}.{theirs}.{kind}"] = given[key]
    for name, theirs in (("v.post_ln", "merger.ln_q"), ("mm.0", "merger.mlp.0"), ("mm.2", "merger.mlp.2")):
        for kind in ("weight", "bias"):
            if f"{name}.{kind}" in given:
                state[f"{theirs}.{kind}"] = given[f"{name}.{kind}"]
    return state


def _text_state() -> dict[str, Floats]:
    """The decoder's weights by the names of transformers."""
    names = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    state = {}
    for name, values in model_tensors(TEXT):
        if name == "token_embd.weight":
            state["embed_tokens.weight"] = values
        elif name == "output_norm.weight":
            state["norm.weight"] = values
        else:
            _, layer, part, kind = name.split(".")
            state[f"layers.{layer}.{names[part]}.{kind}"] = values
    return state


def _model(kind: str, tower: RandomTower) -> Any:
    """The model of transformers with these weights."""
    import torch
    import transformers

    vision: dict[str, Any] = {"depth": tower.n_layers, "num_heads": tower.n_head, "patch_size": tower.patch_size}
    if tower.is_second:
        full = [index for index in range(tower.n_layers) if (index + 1) % tower.full_every == 0]
        vision |= {"hidden_size": tower.n_embd, "intermediate_size": tower.n_ff, "out_hidden_size": tower.n_out}
        vision |= {"fullatt_block_indexes": full, "window_size": 112, "hidden_act": "silu"}
    else:
        vision |= {"embed_dim": tower.n_embd, "hidden_size": tower.n_out, "mlp_ratio": tower.n_ff // tower.n_embd}
        vision |= {"hidden_act": "quick_gelu"}
    text = {
        "vocab_size": _IMAGE + 1,
        "hidden_size": TEXT.n_embd,
        "intermediate_size": TEXT.n_ff,
        "num_hidden_layers": TEXT.n_layers,
        "num_attention_heads": TEXT.n_head,
        "num_key_value_heads": TEXT.n_head_kv,
        "rms_norm_eps": TEXT.epsilon,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": TEXT.rope_freq_base,
            "mrope_section": list(TEXT.sections or ()),
        },
        "tie_word_embeddings": True,
    }
    is_first = kind == "qwen2vl"
    config_class = transformers.Qwen2VLConfig if is_first else transformers.Qwen2_5_VLConfig
    model_class = (
        transformers.Qwen2VLForConditionalGeneration if is_first else transformers.Qwen2_5_VLForConditionalGeneration
    )
    config = config_class(
        text_config=text,
        vision_config=vision,
        image_token_id=_IMAGE,
        vision_start_token_id=_START,
        vision_end_token_id=_END,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    model = model_class(config).eval().float()
    _load(model.model.visual, _vision_state(tower), torch)
    _load(model.model.language_model, _text_state(), torch)
    model.tie_weights()
    return model


def _load(module: Any, state: Mapping[str, Floats], torch: Any) -> None:
    module.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in state.items()})


def _vectors(kind: str, tower: RandomTower) -> dict[str, npt.NDArray[Any]]:
    """All that a test compares with."""
    import torch
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    model = _model(kind, tower)
    processor = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=10**8, image_mean=_MEAN, image_std=_DEVIATION)
    found: dict[str, npt.NDArray[Any]] = {}
    inputs = []
    with torch.no_grad():
        for index, size in enumerate(SIZES):
            given = processor([Image.fromarray(picture(*size))], return_tensors="pt")
            inputs.append(given)
            if index == 0:  # they say the same for all sizes, and take most of the room
                found["patches"] = given["pixel_values"].numpy()
            seen = model.model.visual(given["pixel_values"], grid_thw=given["image_grid_thw"])
            found[f"vectors_{index}"] = seen.pooler_output.numpy()
        tokens = torch.tensor([prompt_tokens(len(found["vectors_0"]), len(found["vectors_2"]))])
        pixels = torch.cat([inputs[index]["pixel_values"] for index in (0, 2)])
        grids = torch.cat([inputs[index]["image_grid_thw"] for index in (0, 2)])
        logits = model(
            input_ids=tokens,
            pixel_values=pixels,
            image_grid_thw=grids,
            mm_token_type_ids=(tokens == _IMAGE).int(),
        ).logits
    text = [index for index, token in enumerate(tokens[0].tolist()) if token != _IMAGE]
    found["logits"] = logits[0, text].numpy()
    return found


def main(folder: Path) -> None:
    """Write a file for each kind of tower."""
    for kind, tower in TOWERS.items():
        found = _vectors(kind, tower)
        with (folder / f"transformers_{kind}.npz").open("wb") as file:
            arrays: Any = found
            np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
