"""What of a model decides over the types of its tensors."""

from dataclasses import dataclass

from pyggml.errors import QuantizeError
from pyggml.gguf.fields import Fields

#: The number of layers of the models that llama.cpp calls "70B", by architecture.
_LAYERS_OF_70B = {"llama": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}


@dataclass(frozen=True)
class Hyperparameters:
    """`n_head_kv` is None where a model has no such thing, as a vision tower."""

    architecture: str
    n_layers: int
    n_head: int
    n_head_kv: int | None
    n_experts: int = 0

    @property
    def n_grouped(self) -> int:
        """Query heads for each key/value head. Raises QuantizeError for a model without."""
        if self.n_head_kv is None:
            raise QuantizeError(
                f"this file type depends on the attention heads, which a model of architecture {self.architecture!r} "
                "does not tell; Q3_K_S to Q8_0, F16 and BF16 are possible"
            )
        return self.n_head // self.n_head_kv if self.n_head_kv else 0

    @property
    def is_70b(self) -> bool:
        """Whether the model is of the size class in which many heads share values, which then get more bits."""
        is_large = self.n_layers == _LAYERS_OF_70B.get(self.architecture)
        return is_large and not (self.architecture == "llama" and self.n_head == self.n_head_kv)


def read_hyperparameters(fields: Fields) -> Hyperparameters:
    """Read them from metadata. Raises GGUFError for a key that is missing or of another kind."""
    architecture = fields.require("general.architecture", str)
    if architecture == "clip":
        # llama.cpp reads none of a vision tower.
        return Hyperparameters(architecture, 0, 0, None)
    n_head = _first(fields, f"{architecture}.attention.head_count", 0)
    return Hyperparameters(
        architecture,
        fields.require(f"{architecture}.block_count", int, low=0),
        n_head,
        _first(fields, f"{architecture}.attention.head_count_kv", n_head),
        fields.get(f"{architecture}.expert_count", int, 0, low=0),
    )


def _first(fields: Fields, key: str, default: int) -> int:
    """A number, or the first of an array with one for each layer."""
    if key in fields.metadata and not isinstance(fields.metadata[key], int):
        return next(iter(fields.require(key, list[int])), default)
    return fields.get(key, int, default, low=0)
