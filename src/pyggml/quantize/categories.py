"""What the name of a tensor says: its part in the model, and whether it may be quantized at all."""

from enum import Enum, auto

from pyggml.gguf import TensorInfo
from pyggml.gguf.tensors import trimmed


class Category(Enum):
    """The parts of a model between which the choice of types tells apart."""

    OUTPUT = auto()
    TOKEN_EMBEDDING = auto()
    ATTENTION_QKV = auto()
    ATTENTION_KV_B = auto()
    ATTENTION_V = auto()
    ATTENTION_K = auto()
    ATTENTION_Q = auto()
    ATTENTION_OUTPUT = auto()
    FFN_UP = auto()
    FFN_GATE = auto()
    FFN_DOWN = auto()
    OTHER = auto()


#: What counts as the values of attention, more sensitive than the rest.
ATTENTION_VALUES = frozenset({Category.ATTENTION_V, Category.ATTENTION_QKV, Category.ATTENTION_KV_B})

TOKEN_EMBEDDING_NAMES = frozenset({"token_embd.weight", "per_layer_token_embd.weight"})
OUTPUT_NAME = "output.weight"

# In the order in which they are looked for.
_PARTS = (
    ("attn_qkv.weight", Category.ATTENTION_QKV),
    ("attn_kv_b.weight", Category.ATTENTION_KV_B),
    ("attn_v.weight", Category.ATTENTION_V),
    ("attn_k.weight", Category.ATTENTION_K),
    ("attn_q.weight", Category.ATTENTION_Q),
    ("attn_output.weight", Category.ATTENTION_OUTPUT),
    ("ffn_up", Category.FFN_UP),
    ("ffn_gate", Category.FFN_GATE),
    ("ffn_down", Category.FFN_DOWN),
)

# Tensors that are small or sensitive in models of many kinds.
_KEPT_NAMES = frozenset({"position_embd.weight", "token_types.weight"})
_KEPT_PARTS = (
    *("_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj"),
    *("ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight"),
    *(
        f"time_mix_{part}.weight"
        for part in ("first", "w0", "w1", "w2", "v0", "v1", "v2", "a0", "a1", "a2", "g1", "g2")
    ),
    *("time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight", "attn_rel_b.weight"),
    *(".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger"),
    *("a.rvq.codebook", "mm.a.code_embd"),
)


def category_of(name: str) -> Category:
    """The part that a tensor of this name plays."""
    if name == OUTPUT_NAME:
        return Category.OUTPUT
    if name in TOKEN_EMBEDDING_NAMES:
        return Category.TOKEN_EMBEDDING
    return next((category for part, category in _PARTS if part in name), Category.OTHER)


def may_be_quantized(tensor: TensorInfo) -> bool:
    """Whether the tensor is a matrix of weights, or a stack of them, and none of those that keep their type."""
    return (
        len(trimmed(tensor.shape)) >= 2
        and tensor.name.endswith("weight")
        and tensor.name not in _KEPT_NAMES
        and not any(part in tensor.name for part in _KEPT_PARTS)
    )
