"""The file types of llama-quantize: what is asked for, such as Q4_K_M, and the number that the file then carries."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from pyggml.errors import FormatError, QuantizeError
from pyggml.gguf import GGML_TYPES, GGMLType

#: Tensor types that hold plain floats; ggml calls all others quantized.
FLOAT_TYPES = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True)
class FileType:
    """A mixture of tensor types: its name, its number in "general.file_type", the type of most tensors."""

    name: str
    number: int
    base: str

    @property
    def is_copy(self) -> bool:
        """Whether tensors stay as they are."""
        return self.name == "COPY"


_ALL = tuple(
    FileType(name, number, base)
    for name, number, base in (
        # In the order in which llama-quantize lists them: a number means the first that has it.
        ("Q1_0", 40, "Q1_0"),
        ("Q2_0", 41, "Q2_0"),
        ("Q4_0", 2, "Q4_0"),
        ("Q4_1", 3, "Q4_1"),
        ("MXFP4_MOE", 38, "MXFP4"),
        ("Q5_0", 8, "Q5_0"),
        ("Q5_1", 9, "Q5_1"),
        ("IQ2_XXS", 19, "IQ2_XXS"),
        ("IQ2_XS", 20, "IQ2_XS"),
        ("IQ2_S", 28, "IQ2_XS"),
        ("IQ2_M", 29, "IQ2_S"),
        ("IQ1_S", 24, "IQ1_S"),
        ("IQ1_M", 31, "IQ1_M"),
        ("TQ1_0", 36, "TQ1_0"),
        ("TQ2_0", 37, "TQ2_0"),
        ("Q2_K", 10, "Q2_K"),
        ("Q2_K_S", 21, "Q2_K"),
        ("IQ3_XXS", 23, "IQ3_XXS"),
        ("IQ3_S", 26, "IQ3_S"),
        ("IQ3_M", 27, "IQ3_S"),
        ("Q3_K", 12, "Q3_K"),
        ("IQ3_XS", 22, "IQ3_S"),
        ("Q3_K_S", 11, "Q3_K"),
        ("Q3_K_M", 12, "Q3_K"),
        ("Q3_K_L", 13, "Q3_K"),
        ("IQ4_NL", 25, "IQ4_NL"),
        ("IQ4_XS", 30, "IQ4_XS"),
        ("Q4_K", 15, "Q4_K"),
        ("Q4_K_S", 14, "Q4_K"),
        ("Q4_K_M", 15, "Q4_K"),
        ("Q5_K", 17, "Q5_K"),
        ("Q5_K_S", 16, "Q5_K"),
        ("Q5_K_M", 17, "Q5_K"),
        ("Q6_K", 18, "Q6_K"),
        ("Q8_0", 7, "Q8_0"),
        ("F16", 1, "F16"),
        ("BF16", 32, "BF16"),
        ("F32", 0, "F32"),
        ("COPY", 0, "F32"),
    )
)

#: Every file type by its name; Q3_K, Q4_K and Q5_K are other names of Q3_K_M, Q4_K_M and Q5_K_M.
FILE_TYPES: Mapping[str, FileType] = MappingProxyType({each.name: each for each in _ALL})

#: Types of one's own formats, by name.
OwnTypes: TypeAlias = Mapping[str, GGMLType]
NO_OWN_TYPES: OwnTypes = MappingProxyType({})

_TYPES_BY_NAME = {known.name: known for known in GGML_TYPES.values()}


def find_file_type(name: str, own: OwnTypes = NO_OWN_TYPES) -> FileType | None:
    """The file type of that name, in upper or lower case, or number; None if there is none.

    One's own format is a file type, too: of all matrices, as no mixture is known for it.
    """
    known = FILE_TYPES.get(name.upper())
    if own_type := own.get(name.upper()):
        if known:
            raise FormatError(
                f"the format {own_type.name} has the name of one of llama-quantize's file types: rename it"
            )
        return FileType(own_type.name, own_type.type_id, own_type.name)
    if known is None and name.isdecimal():
        return next((each for each in _ALL if each.number == int(name)), None)
    return known


def file_type_named(name: str, own: OwnTypes = NO_OWN_TYPES) -> FileType:
    """The file type of that name or number. Raises QuantizeError, which lists the names, if there is none."""
    known = find_file_type(name, own)
    if known is None:
        raise QuantizeError(
            f"there is no file type {name!r}; allowed are {', '.join([*FILE_TYPES, *own])}, or their numbers"
        )
    return known


def tensor_type_named(name: str, own: OwnTypes = NO_OWN_TYPES) -> GGMLType:
    """The type of tensor of that name, in upper or lower case. Raises QuantizeError, which lists the names."""
    known = own.get(name.upper()) or _TYPES_BY_NAME.get(name.upper())
    if known is None:
        raise QuantizeError(f"there is no type of tensor {name!r}; allowed are {', '.join([*_TYPES_BY_NAME, *own])}")
    return known


def guessed_file_type_number(type_names: list[str]) -> int:
    """The number that llama.cpp gives to a file of such tensors without "general.file_type": by the commonest type.

    The bit 1024 says that it was guessed; of equally common types the first to become so counts.
    """
    counts: dict[str, int] = {}
    commonest = "F32"
    for name in type_names:
        counts[name] = counts.get(name, 0) + 1
        if counts[name] > counts.get(commonest, 0):
            commonest = name
    by_base = {each.base: each.number for each in reversed(_ALL)} | {"IQ2_S": 28, "NVFP4": 39, "MXFP4": 0}
    return by_base.get(commonest, 0) | 1024
