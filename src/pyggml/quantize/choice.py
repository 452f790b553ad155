"""The type of every tensor of a model that is to be quantized, exactly as llama-quantize chooses it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyggml.errors import QuantizeError
from pyggml.gguf import GGMLType, TensorInfo
from pyggml.quantize.categories import (
    OUTPUT_NAME,
    TOKEN_EMBEDDING_NAMES,
    Category,
    category_of,
    may_be_quantized,
)
from pyggml.quantize.file_types import FLOAT_TYPES, FileType, OwnTypes, tensor_type_named
from pyggml.quantize.hyperparameters import Hyperparameters
from pyggml.quantize.mixture import Mixture, layer_of
from pyggml_kernels.private_types import is_private_type

# What takes the place of a type whose blocks do not fit into a row.
_FALLBACKS = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
_LARGEST_SMALL_BLOCK = 32
_NEED_IMPORTANCE = frozenset({"IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S"})


@dataclass(frozen=True)
class TypeOptions:
    """What a user can ask of the choice.

    - `is_pure`: one type for all, no mixture. `leaves_output`: output.weight stays as it is.
    - `output_type`, `token_embedding_type`: names of types for these two.
    - `patterns`: regular expressions and names of types; the first one found in a tensor's name decides. As in
      llama-quantize they are not asked when the target is F32, F16 or BF16.
    - `has_importance`: whether there is an importance matrix, with which some mixtures choose otherwise.
    - `own`: types of one's own formats. As the target of all, one is taken as if `is_pure`.
    """

    is_pure: bool = False
    leaves_output: bool = False
    output_type: str | None = None
    token_embedding_type: str | None = None
    patterns: tuple[tuple[re.Pattern[str], str], ...] = ()
    has_importance: bool = False
    own: OwnTypes = field(default_factory=dict)


def choose_types(
    tensors: Sequence[TensorInfo],
    model: Hyperparameters,
    file_type: FileType,
    options: TypeOptions = TypeOptions(),
) -> Mapping[str, GGMLType]:
    """The type of each tensor by name; `tensors` in the order of the file to be written.

    Tensors that are not to be quantized keep theirs. Raises QuantizeError where no type fits.
    """
    mixture = Mixture(
        file_type,
        model,
        [tensor.name for tensor in tensors],
        has_importance=options.has_importance,
        output_type=options.output_type,
        token_embedding_type=options.token_embedding_type,
    )
    return {tensor.name: _choose(tensor, file_type, options, mixture) for tensor in tensors}


def in_order(tensors: Iterable[TensorInfo]) -> list[TensorInfo]:
    """Tensors as llama-quantize writes them: by layer, what belongs to none first; then by the bytes of the name."""
    return sorted(tensors, key=lambda tensor: (layer_of(tensor.name), tensor.name.encode()))


def requires_importance(name: str, type_name: str, file_type: FileType) -> bool:
    """Whether such a tensor would be useless without an importance matrix."""
    if name in TOKEN_EMBEDDING_NAMES or name == OUTPUT_NAME:
        return False
    return type_name in _NEED_IMPORTANCE or (type_name == "Q2_K" and file_type.name == "Q2_K_S")


def keeps_type(tensor: TensorInfo, file_type: FileType, options: TypeOptions) -> bool:
    """Whether a tensor is copied whatever the file type says."""
    is_left = options.leaves_output and tensor.name == OUTPUT_NAME
    return file_type.is_copy or is_left or not may_be_quantized(tensor)


def _choose(tensor: TensorInfo, file_type: FileType, options: TypeOptions, mixture: Mixture) -> GGMLType:
    if keeps_type(tensor, file_type, options):
        return tensor.known_type or tensor_type_named(tensor.type_name)
    matched = next((name for pattern, name in options.patterns if pattern.search(tensor.name)), None)
    category = category_of(tensor.name)
    # The table of each layer is another matter, and may be named.
    is_embedding = category is Category.TOKEN_EMBEDDING and (tensor.name == "token_embd.weight" or matched is None)
    if options.token_embedding_type and is_embedding:
        return tensor_type_named(options.token_embedding_type, options.own)
    if options.output_type and category is Category.OUTPUT:
        return tensor_type_named(options.output_type, options.own)
    if file_type.base in FLOAT_TYPES:
        return tensor_type_named(file_type.base)
    if matched is None:
        is_one_type = options.is_pure or file_type.base in options.own
        matched = file_type.base if is_one_type else mixture.choose(tensor)
    return _fitting(tensor, tensor_type_named(matched, options.own))


def _fitting(tensor: TensorInfo, wanted: GGMLType) -> GGMLType:
    """The type itself, or what takes its place if a row is no whole number of its blocks."""
    n_columns = tensor.shape[0]
    if n_columns % wanted.block_size == 0:
        return wanted
    if is_private_type(wanted.type_id):
        return tensor_type_named("F16")
    fallback = _FALLBACKS.get(wanted.name)
    if fallback is None and wanted.block_size > _LARGEST_SMALL_BLOCK:
        raise QuantizeError(
            f"tensor {tensor.name!r} has rows of {n_columns} weights; {wanted.name} needs multiples of "
            f"{wanted.block_size}, and nothing takes its place: give this tensor another type with --tensor-type"
        )
    next_best = tensor_type_named(fallback) if fallback else wanted
    return tensor_type_named("F16") if n_columns % next_best.block_size else next_best
