"""Qwen2-VL and Qwen2.5-VL as Hugging Face's transformers computes them, in float32; needs torch and transformers 5."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_reference.random_model import RandomModel, model_tensors, toy_vocabulary
from pyggml_reference.random_tower import RandomTower, tower_tensors

Floats = npt.NDArray[np.float32]

_START, _END, IMAGE = (len(toy_vocabulary()) + index for index in range(3))
#: Those of `random_tower`.
_MEAN, _DEVIATION = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


def prompt_tokens(texts: Sequence[Sequence[int]], n_tokens: Sequence[int]) -> list[int]:
    """Texts and, between them, pictures of so many tokens, which are all `IMAGE`."""
    result = list(texts[0])
    for text, n in zip(texts[1:], n_tokens, strict=True):
        result += [_START, *[IMAGE] * n, _END, *text]
    return result


@dataclass(frozen=True)
class Seen:
    """A picture: the numbers of its patches, rows and columns of these, and what the tower makes of them."""

    patches: Floats
    grid: tuple[int, int]
    vectors: Floats


class TransformersModel:
    """The random decoder and the random tower with these parameters; what it computes needs no gradients."""

    def __init__(self, tower: RandomTower, text: RandomModel) -> None:
        self._model = _model(tower, text)

    def see(self, pixels: npt.NDArray[np.uint8]) -> Seen:
        """A picture (height, width, 3) whose sides are multiples of 28, which nobody resizes.

        Patches are those of the processor that uses Pillow, which normalizes step by step as llama.cpp does; the one
        for torch fuses the steps.
        """
        import torch
        from PIL import Image
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        limits = {"min_pixels": 28 * 28, "max_pixels": 10**8}
        given = Qwen2VLImageProcessorPil(**limits, image_mean=_MEAN, image_std=_DEVIATION)(
            [Image.fromarray(pixels)], return_tensors="pt"
        )
        with torch.no_grad():
            seen = self._model.model.visual(given["pixel_values"], grid_thw=given["image_grid_thw"])
        _, n_rows, n_columns = given["image_grid_thw"][0].tolist()
        return Seen(given["pixel_values"].numpy(), (n_rows, n_columns), seen.pooler_output.numpy())

    def logits(self, tokens: Sequence[int], pictures: Sequence[Seen]) -> Floats:
        """Of all tokens of a prompt with pictures (n_tokens, n_vocab)."""
        import torch

        with torch.no_grad():
            pixels = torch.cat([torch.from_numpy(each.patches) for each in pictures])
            return np.asarray(self._model(**_prompt(tokens, pictures), pixel_values=pixels).logits[0])

    def positions(self, tokens: Sequence[int], pictures: Sequence[Seen]) -> npt.NDArray[np.int64]:
        """Time, row and column of each token (n_tokens, 3)."""
        positions, _ = self._model.model.get_rope_index(**_prompt(tokens, pictures))
        return np.asarray(positions[:, 0].T)


def _prompt(tokens: Sequence[int], pictures: Sequence[Seen]) -> dict[str, Any]:
    import torch

    ids = torch.tensor([tokens])
    grids = torch.tensor([[1, *each.grid] for each in pictures])
    return {"input_ids": ids, "image_grid_thw": grids, "mm_token_type_ids": (ids == IMAGE).int()}


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


def _text_state(text: RandomModel) -> dict[str, Floats]:
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
    for name, values in model_tensors(text):
        if name == "token_embd.weight":
            state["embed_tokens.weight"] = values
        elif name == "output_norm.weight":
            state["norm.weight"] = values
        else:
            _, layer, part, kind = name.split(".")
            state[f"layers.{layer}.{names[part]}.{kind}"] = values
    return state


def _model(tower: RandomTower, text: RandomModel) -> Any:
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
    decoder = {
        "vocab_size": IMAGE + 1,
        "hidden_size": text.n_embd,
        "intermediate_size": text.n_ff,
        "num_hidden_layers": text.n_layers,
        "num_attention_heads": text.n_head,
        "num_key_value_heads": text.n_head_kv,
        "rms_norm_eps": text.epsilon,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": text.rope_freq_base,
            "mrope_section": list(text.sections or ()),
        },
        "tie_word_embeddings": True,
    }
    config_class, model_class = (
        (transformers.Qwen2_5_VLConfig, transformers.Qwen2_5_VLForConditionalGeneration)
        if tower.is_second
        else (transformers.Qwen2VLConfig, transformers.Qwen2VLForConditionalGeneration)
    )
    config = config_class(
        text_config=decoder,
        vision_config=vision,
        image_token_id=IMAGE,
        vision_start_token_id=_START,
        vision_end_token_id=_END,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    model = model_class(config).eval().float()
    _load(model.model.visual, _vision_state(tower), torch)
    _load(model.model.language_model, _text_state(text), torch)
    model.tie_weights()
    return model


def _load(module: Any, state: Mapping[str, Floats], torch: Any) -> None:
    module.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in state.items()})
