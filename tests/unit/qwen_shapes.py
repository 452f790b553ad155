"""The tensors of Qwen2.5 models, without data."""

from dataclasses import dataclass
from pathlib import Path

from pyggml.gguf import TensorInfo
from pyggml.quantize import Hyperparameters, in_order


@dataclass(frozen=True)
class Shape:
    n_layers: int
    n_columns: int
    n_ffn: int
    n_head: int
    n_head_kv: int
    tied: bool
    architecture: str = "qwen2"

    @property
    def hyperparameters(self) -> Hyperparameters:
        return Hyperparameters(self.architecture, self.n_layers, self.n_head, self.n_head_kv)

    def tensors(self) -> list[TensorInfo]:
        n_values = self.n_columns // self.n_head * self.n_head_kv
        shapes: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (self.n_columns, 1000),
            "output_norm.weight": (self.n_columns,),
        }
        if not self.tied:
            shapes["output.weight"] = (self.n_columns, 1000)
        for layer in range(self.n_layers):
            for name, shape in {
                "attn_norm.weight": (self.n_columns,),
                "ffn_norm.weight": (self.n_columns,),
                "attn_q.weight": (self.n_columns, self.n_columns),
                "attn_q.bias": (self.n_columns,),
                "attn_k.weight": (self.n_columns, n_values),
                "attn_v.weight": (self.n_columns, n_values),
                "attn_output.weight": (self.n_columns, self.n_columns),
                "ffn_gate.weight": (self.n_columns, self.n_ffn),
                "ffn_up.weight": (self.n_columns, self.n_ffn),
                "ffn_down.weight": (self.n_ffn, self.n_columns),
            }.items():
                shapes[f"blk.{layer}.{name}"] = shape
        return in_order(
            TensorInfo(name, 1 if len(shape) > 1 else 0, shape, 0, Path("m.gguf")) for name, shape in shapes.items()
        )


QWEN_0_5B = Shape(24, 896, 4864, 14, 2, tied=True)
QWEN_1_5B = Shape(28, 1536, 8960, 12, 2, tied=True)
QWEN_7B = Shape(28, 3584, 18944, 28, 4, tied=False)
QWEN_72B = Shape(80, 8192, 29568, 64, 8, tied=False)
