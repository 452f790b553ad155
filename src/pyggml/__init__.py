"""pyggml: the ggml inference engine in Python.

    import pyggml

    model = pyggml.load("model.gguf")
    for event in model.chat([{"role": "user", "content": "Hello!"}]):
        if isinstance(event, pyggml.TextEvent):
            print(event.text, end="", flush=True)

Importing the package loads nothing else: names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pyggml.engine import DoneEvent, GenerationOptions, PromptEvent, Session, TextEvent
    from pyggml.errors import PyggmlError
    from pyggml.formats import read_formats
    from pyggml.gguf import GGUFFile
    from pyggml.model import Model, load
    from pyggml.package_data import demo_mmproj, demo_model
    from pyggml.sampling import SamplingOptions
    from pyggml_kernels.formats import OwnFormat, own_format

_HOMES = {
    "DoneEvent": "pyggml.engine",
    "GGUFFile": "pyggml.gguf",
    "GenerationOptions": "pyggml.engine",
    "Model": "pyggml.model",
    "OwnFormat": "pyggml_kernels.formats",
    "PromptEvent": "pyggml.engine",
    "PyggmlError": "pyggml.errors",
    "SamplingOptions": "pyggml.sampling",
    "Session": "pyggml.engine",
    "TextEvent": "pyggml.engine",
    "demo_mmproj": "pyggml.package_data",
    "demo_model": "pyggml.package_data",
    "load": "pyggml.model",
    "own_format": "pyggml_kernels.formats",
    "read_formats": "pyggml.formats",
}

__all__ = [
    "DoneEvent",
    "GGUFFile",
    "GenerationOptions",
    "Model",
    "OwnFormat",
    "PromptEvent",
    "PyggmlError",
    "SamplingOptions",
    "Session",
    "TextEvent",
    "__version__",
    "demo_mmproj",
    "demo_model",
    "load",
    "own_format",
    "read_formats",
]


def __getattr__(name: str) -> Any:
    """Import a name of the API from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pyggml' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
