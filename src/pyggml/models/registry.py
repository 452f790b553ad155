"""The architectures that pyggml runs."""

from collections.abc import Mapping
from types import MappingProxyType

from pyggml.errors import ModelError
from pyggml.gguf import GGUFFile
from pyggml.models.architecture import Architecture
from pyggml.models.llama import LLAMA
from pyggml.models.qwen2 import QWEN2
from pyggml.models.qwen2vl import QWEN2VL

#: By the name in `general.architecture`.
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({each.name: each for each in (LLAMA, QWEN2, QWEN2VL)})


def architecture_of(file: GGUFFile) -> Architecture:
    """The architecture of a file; ModelError for one that is not supported, naming those that are."""
    name = file.require("general.architecture", str)
    if name not in ARCHITECTURES:
        supported = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(
            f"{file.path}: general.architecture is {name!r}, which is not supported; supported: {supported}"
        )
    return ARCHITECTURES[name]
