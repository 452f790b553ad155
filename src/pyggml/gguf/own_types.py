"""Types that ggml does not have: numbers of a private range, which a file's metadata name.

The key `pyggml.format.NAME` is an array of three uint32: the number, which follows from the name, and the weights and
the bytes of a block. So a file can be checked, copied, split and merged by who does not know the format.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from pyggml.errors import GGUFError
from pyggml.gguf.cursor import quoted
from pyggml.gguf.encoding import Field
from pyggml.gguf.types import GGMLType
from pyggml.gguf.values import FieldType, Value, ValueType
from pyggml_kernels.private_types import MAX_BLOCK, check_private_name, private_type_id

KEY_PREFIX = "pyggml.format."


def own_type_fields(types: Iterable[GGMLType]) -> dict[str, Field]:
    """The metadata that name these types."""
    stored = FieldType(ValueType.ARRAY, ValueType.UINT32)
    return {
        f"{KEY_PREFIX}{each.name}": Field(
            stored, np.array([each.type_id, each.block_size, each.block_bytes], np.uint32)
        )
        for each in types
    }


def read_own_types(path: Path, metadata: Mapping[str, Value]) -> dict[int, GGMLType]:
    """The types that the metadata name, by their numbers. Raises GGUFError for one that cannot be."""
    types: dict[int, GGMLType] = {}
    for key, value in metadata.items():
        if key.startswith(KEY_PREFIX):
            try:
                known = _own_type(key.removeprefix(KEY_PREFIX), value)
            except ValueError as error:
                raise GGUFError(f"{path}: metadata key {quoted(key)}: {error}") from None
            if known.type_id in types:
                raise GGUFError(
                    f"{path}: the formats {known.name} and {types[known.type_id].name} have the same number "
                    f"{known.type_id}: rename one of them"
                )
            types[known.type_id] = known
    return types


def _own_type(name: str, value: Value) -> GGMLType:
    check_private_name(name)
    if not isinstance(value, np.ndarray) or value.dtype != np.uint32 or value.shape != (3,):
        raise ValueError("allowed is an array of three uint32: the type's number, the weights and bytes of a block")
    type_id, block_size, block_bytes = (int(each) for each in value)
    if type_id != private_type_id(name):
        raise ValueError(f"the type's number is {type_id}; by its name it must be {private_type_id(name)}")
    if not (1 <= block_size <= MAX_BLOCK and 1 <= block_bytes <= MAX_BLOCK):
        raise ValueError(f"a block has {block_size} weights in {block_bytes} bytes; allowed are 1 to {MAX_BLOCK}")
    return GGMLType(type_id, name, block_size, block_bytes)
