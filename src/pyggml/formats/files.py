"""Formats from Python files."""

import os
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from pyggml.errors import FormatError
from pyggml_kernels.formats import OwnFormat


def read_formats(path: str | os.PathLike[str]) -> list[OwnFormat]:
    """Run a Python file and return the formats it defines: all that `own_format` made and that have a name in it.

    Raises FormatError for a file that cannot be run or defines none.
    """
    path = Path(path)
    formats = [each for each in vars(_run(path)).values() if isinstance(each, OwnFormat)]
    if not formats:
        raise FormatError(f"{path}: the file defines no format; it needs a line such as NAME = pyggml.own_format(...)")
    return formats


def _run(path: Path) -> ModuleType:
    loader = SourceFileLoader(f"pyggml_format_{path.stem}", str(path))
    spec = spec_from_loader(loader.name, loader)
    if spec is None:
        raise FormatError(f"{path}: Python cannot load this file")
    module = module_from_spec(spec)
    try:
        loader.exec_module(module)
    except OSError as error:
        raise FormatError(f"{path}: the file cannot be read: {error.strerror or error}") from error
    except Exception as error:
        lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == str(path)]
        place = f"line {lines[-1]}: " if lines else ""
        raise FormatError(f"{path}: {place}{type(error).__name__}: {error}") from error
    return module
