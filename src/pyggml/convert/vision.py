"""The vision tower of a Qwen2-VL or Qwen2.5-VL: what llama.cpp keeps in a file of its own, the mmproj."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pyggml.convert.checkpoint import Checkpoint
from pyggml.convert.json_object import JsonObject, read_json_object
from pyggml.convert.model_tensor import ModelTensor, arranged, part, whole
from pyggml.convert.source import Floats, SourceTensor
from pyggml.convert.text_config import class_name, read_text_config
from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.values import FieldType, ValueType

_PROJECTORS = {
    "Qwen2VLForConditionalGeneration": "qwen2vl_merger",
    "Qwen2_5_VLForConditionalGeneration": "qwen2.5vl_merger",
}
_OUTSIDE = {"merger.ln_q": "v.post_ln", "merger.mlp.0": "mm.0", "merger.mlp.2": "mm.2"}
_INSIDE = {
    "norm1": "ln1",
    "norm2": "ln2",
    "attn.proj": "attn_out",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NAME = re.compile(r"(?:model\.)?visual\.(?:blocks\.(?P<layer>\d+)\.)?(?P<module>.+)\.(?P<kind>weight|bias)")
_PATCH_EMBEDDING = "patch_embed.proj"
#: Qwen2-VL looks at two pictures of a film at a time; a still picture is taken twice.
_N_FRAMES = 2
#: llama.cpp's converter writes this size, which no model of the family depends on.
_IMAGE_SIZE = 560
_MAX_COUNT = 1 << 20


@dataclass(frozen=True)
class VisionConfig:
    """What config.json says of a tower. `n_windowed` is the number of layers from one of full attention to the next."""

    projector: str
    n_embd_text: int
    n_layers: int
    n_embd: int
    n_ff: int
    n_head: int
    patch_size: int
    epsilon: float
    n_windowed: int | None


def read_vision_config(config: JsonObject) -> VisionConfig:
    """Read it. Raises CheckpointError for a model that has no tower, and for what is missing or wrong."""
    projector = _PROJECTORS.get(class_name(config))
    if projector is None:
        raise config.error("architectures", f"one of {', '.join(_PROJECTORS)}, as a vision tower is asked for")
    vision = config.inner("vision_config")
    count = partial(vision.require, kind=int, low=1, high=_MAX_COUNT)
    is_first = "embed_dim" in vision.values
    return VisionConfig(
        projector=projector,
        n_embd_text=read_text_config(config).n_embd,
        n_layers=count("depth"),
        n_embd=count("embed_dim" if is_first else "hidden_size"),
        # Of Qwen2-VL llama.cpp's converter writes the width of the language model here.
        n_ff=count("hidden_size" if is_first else "intermediate_size"),
        n_head=count("num_heads"),
        patch_size=count("patch_size"),
        epsilon=config.get("rms_norm_eps", float, 1e-6),
        n_windowed=None if projector == "qwen2vl_merger" else _n_windowed(vision),
    )


def _n_windowed(vision: JsonObject) -> int:
    full = vision.list_of("fullatt_block_indexes", int)
    step = full[0] + 1 if full else 0
    if step < 1 or full != [step * (index + 1) - 1 for index in range(len(full))]:
        raise vision.error("fullatt_block_indexes", "evenly spaced layers, the first as far from the begin")
    return step


def vision_fields(checkpoint: Checkpoint, config: VisionConfig) -> Iterator[tuple[str, Field]]:
    """The keys of the tower in the order of llama.cpp's converter, after the type of the file.

    Raises CheckpointError if preprocessor_config.json lacks mean and deviation of the colours.
    """
    processor = _processor(checkpoint)
    yield "clip.has_vision_encoder", number_field(ValueType.BOOL, True)
    for key, number in (
        ("projection_dim", config.n_embd_text),
        ("image_size", _IMAGE_SIZE),
        ("patch_size", config.patch_size),
        ("embedding_length", config.n_embd),
        ("feed_forward_length", config.n_ff),
        ("block_count", config.n_layers),
        ("attention.head_count", config.n_head),
    ):
        yield f"clip.vision.{key}", number_field(ValueType.UINT32, number)
    for key in ("image_mean", "image_std"):
        yield f"clip.vision.{key}", Field(FieldType(ValueType.ARRAY, ValueType.FLOAT32), _colours(processor, key))
    yield "clip.projector_type", string_field(config.projector)
    if config.n_windowed is not None:
        yield "clip.use_silu", number_field(ValueType.BOOL, True)
        yield "clip.vision.n_wa_pattern", number_field(ValueType.UINT32, config.n_windowed)
    yield "clip.vision.attention.layer_norm_epsilon", number_field(ValueType.FLOAT32, config.epsilon)


def _processor(checkpoint: Checkpoint) -> JsonObject:
    """As of transformers 5 the settings are in processor_config.json."""
    newer = checkpoint.folder / "processor_config.json"
    if newer.is_file():
        inner = read_json_object(newer).inner("image_processor")
        if inner.values:
            return inner
    return read_json_object(checkpoint.folder / "preprocessor_config.json")


def _colours(processor: JsonObject, key: str) -> list[float]:
    values = processor.list_of(key, float)
    if len(values) != 3:
        raise processor.error(key, "an array of three numbers, for red, green and blue")
    return values


def vision_sources(checkpoint: Checkpoint) -> dict[str, SourceTensor]:
    """The tensors of the tower by name."""
    return {
        name: source for name, source in checkpoint.tensors.items() if name.startswith(("visual.", "model.visual."))
    }


def vision_tensors(checkpoint: Checkpoint, config: VisionConfig) -> list[ModelTensor]:
    """All tensors of the tower, in the order of llama.cpp's converter.

    Raises CheckpointError for a tensor that no tower has, for one that is missing, and for unfit shapes.
    """
    tensors = [each for name, source in vision_sources(checkpoint).items() for each in _tensors(name, source, config)]
    found = {tensor.name for tensor in tensors}
    parts = ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down", "ln1", "ln2")
    inside = [f"v.blk.{layer}.{part}" for layer in range(config.n_layers) for part in parts]
    missing = [name for name in ("v.patch_embd", *_OUTSIDE.values(), *inside) if f"{name}.weight" not in found]
    if missing:
        raise CheckpointError(
            f"{checkpoint.folder}: {len(missing)} tensors of the vision tower are missing, what GGUF calls "
            f"{missing[0] + '.weight'!r} among them: download the whole checkpoint"
        )
    return tensors


def _tensors(name: str, source: SourceTensor, config: VisionConfig) -> list[ModelTensor]:
    match = _NAME.fullmatch(name)
    module, kind = (match["module"], match["kind"]) if match else ("", "")
    if match and match["layer"] is None:
        if module in _OUTSIDE:
            return [whole(f"{_OUTSIDE[module]}.{kind}", source)]
        if module == _PATCH_EMBEDDING and kind == "weight":
            return _patch_embeddings(source)
    elif match and int(match["layer"]) < config.n_layers:
        block = f"v.blk.{int(match['layer'])}"
        if module in _INSIDE:
            return [whole(f"{block}.{_INSIDE[module]}.{kind}", source)]
        if module == "attn.qkv":
            return _queries_keys_values(block, kind, source)
    raise CheckpointError(
        f"{source.path}: tensor {quoted(name)} is none that a vision tower of {config.n_layers} layers has: is "
        "config.json that of another model?"
    )


def _queries_keys_values(block: str, kind: str, source: SourceTensor) -> list[ModelTensor]:
    if not source.shape or source.shape[0] % 3:
        raise CheckpointError(
            f"{source.path}: tensor {quoted(source.name)} has the shape {source.shape}; its first dimension must be a "
            "multiple of 3, for queries, keys and values"
        )
    return [part(f"{block}.attn_{what}.{kind}", source, index, 3) for index, what in enumerate("qkv")]


def _patch_embeddings(source: SourceTensor) -> list[ModelTensor]:
    """A convolution over two pictures of a film as one for each."""
    if len(source.shape) != 5 or source.shape[2] != _N_FRAMES:
        raise CheckpointError(
            f"{source.path}: tensor {quoted(source.name)} has the shape {source.shape}; allowed are 5 dimensions, the "
            f"third of {_N_FRAMES}"
        )

    def of_frame(frame: int, rows: Floats) -> Floats:
        return rows[:, :, frame]

    shape = (*source.shape[:2], *source.shape[3:])
    names = ("v.patch_embd.weight", "v.patch_embd.weight.1")
    return [arranged(name, source, 1, partial(of_frame, frame), shape) for frame, name in enumerate(names)]
