"""The Python functions of a format of one's own: compiling them with their helpers, and telling versions apart."""

import hashlib
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from pyggml_kernels.jit import checked_device

#: Packages that Numba knows, or whose sources are in the cache's key already.
_KNOWN_PACKAGES = frozenset({"numpy", "numba", "math", "cmath", "builtins", "pyggml_kernels"})


def fingerprint(*values: Any) -> str:
    """A hash of all that the machine code of functions depends on: their bytecode, the numbers, tables and functions
    that they name, and so on. The same in every process.
    """
    digest = hashlib.sha256()
    seen: set[int] = set()
    for value in values:
        for part in _parts(value, seen):
            digest.update(part)
            digest.update(b"\0")
    return digest.hexdigest()[:16]


def compiled(function: Callable[..., None], tag: str) -> Any:
    """A function for kernels to call, with bounds checked; plain functions that it calls are compiled along.

    `tag` is part of the names in machine code: two versions of a function may be loaded side by side.
    """
    return _compiled(function, tag, {})


def with_globals(function: Callable[..., None], name: str, **values: Any) -> Callable[..., None]:
    """A copy of a function, under another name, that finds these values where it names globals.

    A closure would do the same, but Numba could not find it in its cache again.
    """
    copy = FunctionType(_code(function), {**function.__globals__, **values}, name)
    copy.__qualname__ = name
    return copy


def _compiled(function: Callable[..., None], tag: str, done: dict[int, Any]) -> Any:
    copy = FunctionType(
        _code(function),
        dict(function.__globals__),
        f"{function.__name__}_{tag}",
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__ = copy.__name__
    # One that can be imported, as Numba does when it loads the machine code: the author's file may be no module.
    copy.__module__ = __name__
    done[id(function)] = result = checked_device(copy)
    for name in _names(copy.__code__):
        value = copy.__globals__.get(name)
        if isinstance(value, FunctionType) and not _is_known(value.__module__):
            copy.__globals__[name] = done.get(id(value)) or _compiled(value, tag, done)
    return result


def _parts(value: Any, seen: set[int]) -> Iterator[bytes]:
    value = getattr(value, "py_func", value)
    if isinstance(value, FunctionType) and not _is_known(value.__module__):
        if id(value) not in seen:
            seen.add(id(value))
            yield from _parts_of_function(value, seen)
    elif isinstance(value, np.ndarray):
        yield from (str(value.dtype).encode(), str(value.shape).encode(), value.tobytes())
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _parts(each, seen)
    else:
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        yield f"{type(value).__name__} {name or repr(value)}".encode()


def _parts_of_function(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    yield from _parts_of_code(function.__code__)
    names = _names(function.__code__)
    for cell in function.__closure__ or ():
        yield from _parts(cell.cell_contents, seen)
    yield from _parts(function.__defaults__ or (), seen)
    for name in names:
        value = function.__globals__.get(name)
        yield from _parts(value, seen)
        if isinstance(value, ModuleType) and not _is_known(value.__name__):
            for attribute in names:
                yield from _parts(getattr(value, attribute, None), seen)


def _parts_of_code(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts_of_code(constant)
        else:
            yield repr(constant).encode()


def _names(code: CodeType) -> list[str]:
    """What the code names, functions within it included."""
    inner = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return [*code.co_names, *inner]


def _is_known(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _KNOWN_PACKAGES


def _code(function: Callable[..., None]) -> CodeType:
    code: CodeType = function.__code__
    return code
