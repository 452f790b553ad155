"""llama-quantize's choice of a type for each tensor of a mixture: more bits where they do most good.

The rules are those of llama.cpp's file types, tensor by tensor in the order of the file: some go by how many tensors of
the same kind came before.
"""

import re
from collections.abc import Iterable

from pyggml.errors import QuantizeError
from pyggml.gguf import GGML_TYPES, TensorInfo
from pyggml.quantize.categories import ATTENTION_VALUES, Category, category_of
from pyggml.quantize.file_types import FileType
from pyggml.quantize.hyperparameters import Hyperparameters

BLOCK_SIZES = {known.name: known.block_size for known in GGML_TYPES.values()}

_LOW_BIT = frozenset({"IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ1_S", "IQ1_M"})
_BETTER_TWO_BIT = frozenset({"IQ2_S", "IQ2_M"})
_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
_TOKEN_EMBEDDING = {
    **dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"), "Q2_K"),
    **dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S"),
    **dict.fromkeys(("TQ1_0", "TQ2_0", "Q2_0"), "Q4_K"),
}
_QUERY_KEY = {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}
_ATTENTION_OUTPUT = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
_ATTENTION_OUTPUT_OF_8_EXPERTS = frozenset(
    {"Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "IQ3_XS", "IQ3_XXS", "IQ3_S", "IQ3_M", "IQ4_NL", "IQ4_XS"}
)


class Mixture:
    """Chooses for one tensor after another; every tensor that is left to it must be given, in the order of the file."""

    def __init__(
        self,
        file_type: FileType,
        model: Hyperparameters,
        names: Iterable[str],
        *,
        has_importance: bool,
        output_type: str | None = None,
        token_embedding_type: str | None = None,
    ) -> None:
        """Prepare for a model whose file has tensors of these `names`."""
        self._base = file_type.base
        self._kind = _ALIASES.get(file_type.name, file_type.name)
        self._model = model
        self._has_importance = has_importance
        self._output_type = output_type
        self._token_embedding_type = token_embedding_type
        categories = [category_of(name) for name in names]
        self._n_values = sum(category in ATTENTION_VALUES for category in categories)
        self._is_tied = Category.OUTPUT not in categories
        self._seen = dict.fromkeys(("values", Category.FFN_DOWN, Category.FFN_GATE, Category.FFN_UP), 0)

    def choose(self, tensor: TensorInfo) -> str:
        """The name of the tensor's type, before what its shape may forbid. Raises QuantizeError if there is none."""
        category = category_of(tensor.name)
        if category is Category.OUTPUT or (self._is_tied and category is Category.TOKEN_EMBEDDING):
            return self._output(tensor)
        if self._kind == "MXFP4_MOE":
            return "MXFP4" if len(tensor.shape) > 2 and tensor.shape[2] > 1 else "Q8_0"
        if category is Category.TOKEN_EMBEDDING:
            return self._token_embedding_type or _TOKEN_EMBEDDING.get(self._kind, self._base)
        if self._kind in _LOW_BIT:
            return self._low_bit(category)
        if category in ATTENTION_VALUES:
            return self._values(self._count("values"))
        if category in (Category.ATTENTION_K, Category.ATTENTION_Q):
            if category is Category.ATTENTION_K and self._model.n_experts == 8:
                return "Q8_0"
            return _QUERY_KEY.get(self._kind, self._base)
        if category is Category.FFN_DOWN:
            return self._ffn_down(self._layer(tensor.name, self._count(category)))
        if category in (Category.FFN_GATE, Category.FFN_UP):
            return self._ffn_gate_or_up(self._layer(tensor.name, self._count(category)))
        if category is Category.ATTENTION_OUTPUT:
            return self._attention_output()
        return self._base

    def _count(self, kind: "Category | str") -> int:
        """How many of the kind came before this one."""
        self._seen[kind] += 1
        return self._seen[kind] - 1

    def _layer(self, name: str, n_seen: int) -> int:
        """The layer by count; with experts, whose tensors may come in any order, by name."""
        if self._model.n_experts <= 1:
            return n_seen
        layer = layer_of(name)
        if not 0 <= layer < self._model.n_layers:
            raise QuantizeError(
                f"tensor {name!r} is of layer {layer}; a model of {self._model.n_layers} layers with experts needs "
                "tensors that are named after one of them, such as 'blk.0.ffn_down_exps.weight'"
            )
        return layer

    def _output(self, tensor: TensorInfo) -> str:
        if self._output_type:
            return self._output_type
        if self._kind == "MXFP4_MOE" or self._model.architecture == "falcon":
            return "Q8_0"
        if tensor.shape[0] % BLOCK_SIZES[self._base]:
            return "Q8_0"
        if self._kind in _LOW_BIT or self._kind == "IQ3_XXS":
            return "Q5_K"
        return "Q8_0" if self._base == "Q8_0" else "Q6_K"

    def _low_bit(self, category: Category) -> str:
        better = "IQ3_S" if self._kind in _BETTER_TWO_BIT else "Q2_K"
        if category in ATTENTION_VALUES:
            return "Q4_K" if self._model.n_grouped >= 4 or self._model.n_experts >= 4 else better
        if category is Category.ATTENTION_K and self._model.n_experts == 8:
            return "Q4_K"
        if category is Category.FFN_DOWN:
            return better if self._count(category) < self._model.n_layers // 8 else self._base
        if category is Category.ATTENTION_OUTPUT:
            if self._model.n_experts == 8:
                return "Q5_K"
            if self._kind in ("IQ1_S", "IQ1_M"):
                return "IQ2_XXS"
            return "IQ3_S" if self._kind in _BETTER_TWO_BIT else self._base
        return self._base

    def _values(self, index: int) -> str:
        chosen = self._values_by_kind(index)
        if self._model.is_70b and chosen in ("Q3_K", "Q4_K"):
            chosen = "Q5_K"
        return "Q8_0" if self._model.n_experts == 8 else chosen

    def _values_by_kind(self, index: int) -> str:
        match self._kind:
            case "Q2_K":
                return "Q4_K" if self._model.n_grouped >= 4 else "Q3_K"
            case "Q2_K_S" | "IQ3_XS" | "IQ3_S":
                return "Q4_K" if self._model.n_grouped >= 4 else self._base
            case "IQ3_XXS":
                return "Q4_K" if self._model.n_grouped >= 4 else "IQ3_XXS" if self._has_importance else "IQ3_S"
            case "IQ3_M":
                return "Q4_K"
            case "Q3_K_M":
                return "Q5_K" if index < 2 else "Q4_K"
            case "Q3_K_L":
                return "Q5_K"
            case "IQ4_NL" | "IQ4_XS":
                return "Q5_K" if self._model.n_grouped >= 4 else self._base
            case "Q4_K_M" | "Q5_K_M":
                return "Q6_K" if gets_more_bits(index, self._n_values) else self._base
            case "Q4_K_S":
                return "Q5_K" if index < 4 else self._base
        return self._base

    def _ffn_down(self, layer: int) -> str:
        n_layers = self._model.n_layers
        is_early = layer < n_layers // 8
        more = gets_more_bits(layer, n_layers)
        is_falcon = self._model.architecture == "falcon"
        match self._kind:
            case "Q2_K":
                return "Q3_K"
            case "Q2_K_S":
                return "Q4_K" if is_early else self._base
            case "IQ3_XXS":
                return self._base if self._has_importance else "Q4_K" if is_early else "Q3_K"
            case "IQ3_M":
                return "Q4_K" if is_early or (self._model.n_experts == 8 and more) else self._base
            case "Q3_K_M":
                return "Q5_K" if layer < n_layers // 16 else "Q4_K" if more or not is_falcon else "Q3_K"
            case "Q3_K_L":
                return "Q4_K" if is_falcon else "Q5_K"
            case "Q4_K_M" if is_falcon:
                return "Q6_K" if layer < n_layers // 16 else "Q5_K" if more else "Q4_K"
            case "Q4_K_M" | "Q5_K_M":
                return "Q6_K" if more else self._base
            case "IQ4_NL" | "IQ4_XS":
                return "Q5_K" if is_early and not self._has_importance else self._base
            case "Q4_K_S":
                return "Q5_K" if is_early and not is_falcon else self._base
            case "Q4_0" | "Q5_0":
                return self._base.replace("_0", "_1") if is_early and self._has_importance else self._base
        return self._base

    def _ffn_gate_or_up(self, layer: int) -> str:
        n_layers = self._model.n_layers
        is_middle = n_layers // 8 <= layer < 7 * n_layers // 8
        return "IQ3_XXS" if self._kind == "IQ3_XS" and is_middle else self._base

    def _attention_output(self) -> str:
        if self._model.architecture == "falcon":
            return "Q4_K" if self._kind == "Q3_K_L" else self._base
        if self._model.n_experts == 8:
            return "Q5_K" if self._kind in _ATTENTION_OUTPUT_OF_8_EXPERTS else self._base
        return _ATTENTION_OUTPUT.get(self._kind, self._base)


def layer_of(name: str) -> int:
    """The layer in a name such as blk.12.attn_v.weight, -1 if there is none."""
    match = re.match(r"blk\.(\d+)\.", name)
    return int(match[1]) if match else -1


def gets_more_bits(index: int, n: int) -> bool:
    """Whether the tensor with that index among n is in the first or last eighth, or a third one in between."""
    return index < n // 8 or index >= 7 * n // 8 or (index - n // 8) % 3 == 2
