"""GGUF files with something changed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

Change = Callable[[str, np.ndarray[Any, Any]], "tuple[str, np.ndarray[Any, Any]] | None"]


def same(name: str, data: np.ndarray[Any, Any]) -> tuple[str, np.ndarray[Any, Any]]:
    """No change of a tensor."""
    return name, data


def rewrite(source: Path, target: Path, keys: Mapping[str, Any], change: Change = same) -> None:
    """Copy a file of float tensors: `keys` replaces (or with None removes) metadata, `change` each tensor."""
    reader = GGUFReader(source)
    architecture = keys.get("general.architecture") or reader.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in keys:
            continue
        element = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    for name, value in keys.items():
        if name != "general.architecture" and value is not None:
            kind = GGUFValueType.get_type(value)
            if isinstance(value, list):
                writer.add_array(name, value)
            else:
                writer.add_key_value(name, value, GGUFValueType.UINT32 if kind == GGUFValueType.INT32 else kind)
    for tensor in reader.tensors:
        changed = change(tensor.name, np.array(tensor.data))
        if changed is not None:
            writer.add_tensor(*changed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
