"""How Python functions become machine code: one decorator for kernels, one for the helpers they call.

A kernel has a C signature of 64-bit integers only (addresses, counts, chunk numbers), so that a plan can call it
through its address. It is compiled, or loaded from the cache on disk, when its address is first asked for; each kernel
alone, so that a model compiles only what it uses.
"""

import atexit
import ctypes
import gc
import hashlib
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from threading import RLock
from types import FunctionType
from typing import Any, ClassVar, TypeVar, cast
from uuid import uuid4

import numba
import numba.extending
from numba.core.compiler import Compiler

from pyggml_kernels.helpers import HelperCompiler
from pyggml_kernels.old_caches import mark_used, remove_unused
from pyggml_kernels.simd.cpu import tier

Function = TypeVar("Function", bound=Callable[..., Any])

#: What compiling a function that is not as Numba needs it raises.
CompilationError: type[Exception] = numba.core.errors.NumbaError

# Numba fills in its settings when it is imported, which type checkers do not see.
_SETTINGS: Any = numba.config


def user_cache_directory() -> Path:
    """Where this operating system keeps a user's caches; `PYGGML_CACHE` overrides it."""
    if chosen := os.environ.get("PYGGML_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "pyggml"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyggml"


@lru_cache(maxsize=1)
def source_hash() -> str:
    """A hash of all of this package's source files.

    Numba stamps a cached kernel by the one file that defines it; a helper edited in another file would leave stale
    machine code behind. So the hash names the cache directory.
    """
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


@lru_cache(maxsize=1)
def kernel_cache_directory() -> Path:
    """The directory of the compiled kernels: in Numba's own (`NUMBA_CACHE_DIR`) if that is set, else in the user's.

    Where that cannot be written, a new temporary one, removed at exit: one that others could have filled would let them
    run their code here. A new directory is the time to remove those of old versions. ValueError as in `simd.cpu.tier`.
    """
    base = Path(_SETTINGS.CACHE_DIR) / "pyggml" if _SETTINGS.CACHE_DIR else user_cache_directory() / "kernels"
    # Numba tells CPUs apart, but not that `simd.cpu` is to leave aside what the CPU has.
    is_chosen = os.environ.get("PYGGML_SIMD")
    directory = base / (f"{source_hash()}-{tier()}" if is_chosen else source_hash())
    is_new = not directory.exists()
    if not _writable(directory):
        directory = Path(tempfile.mkdtemp(prefix="pyggml-kernels-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        return directory
    mark_used(directory)
    if is_new:
        remove_unused(base, directory)
    return directory


_CACHE_SETTING = RLock()


@contextmanager
def _caching_in(directory: Path) -> Iterator[None]:
    """Have Numba cache what is defined meanwhile in a directory; its setting holds for the whole process."""
    with _CACHE_SETTING:
        before = _SETTINGS.CACHE_DIR
        _SETTINGS.CACHE_DIR = str(directory)
        try:
            yield
        finally:
            _SETTINGS.CACHE_DIR = before


@contextmanager
def _without_collection() -> Iterator[None]:
    """Leave garbage alone meanwhile: to look for it among all that Numba keeps takes a tenth of the time to compile."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


class _AnnouncingCompiler(Compiler):
    """Numba's compiler, which is asked only for what is not in the cache."""

    def define_pipelines(self) -> Any:
        Kernel.on_compile(self.state.func_id.func_name)
        return cast("Any", super()).define_pipelines()


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """A helper that writes its own LLVM code.

    Numba's decorator, retyped: to type checkers it would keep the typing context among the arguments of a call.
    """
    return cast("Callable[..., Any]", numba.extending.intrinsic(function))


def device(function: Function) -> Function:
    """A helper that kernels call; compiled into each of them. It cannot be called from Python.

    It gets a name that no other has, in any process. Cached kernels bring their helpers along, and of those with one
    name the linker takes the first for all. Numba alone tells closures apart by a number that starts anew with each
    process, so that a kernel compiled in one process would call the helpers of a kernel compiled in another.
    """
    function.__qualname__ += f"_{uuid4().hex}"
    options: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": HelperCompiler}
    return cast("Function", numba.njit(nogil=True, error_model="numpy", **options)(function))


def checked_device(function: Function) -> Function:
    """A helper that others wrote: an index beyond an array raises IndexError, which the kernel has to catch.

    It cannot be called from Python.
    """
    options: Any = {"boundscheck": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast("Function", numba.njit(nogil=True, error_model="numpy", **options)(function))


class Kernel:
    """One compiled function of 64-bit integers, callable from Python and, by `address`, from a plan."""

    #: Called with a kernel's name just before it is compiled: once on a machine, unless the sources change.
    on_compile: ClassVar[Callable[[str], None]] = staticmethod(lambda name: None)

    def __init__(self, function: Callable[..., None], cache_key: str = "") -> None:
        """Make a kernel; `cache_key` tells apart those whose code depends on more than this package's sources."""
        self.function = function
        self.name = function.__name__
        self._cache_key = cache_key

    @cached_property
    def _compiled(self) -> Any:
        n_arguments = len(inspect.signature(self.function).parameters)
        signature = numba.types.void(*[numba.types.int64] * n_arguments)
        with _caching_in(kernel_cache_directory() / self._cache_key), _without_collection():
            return numba.cfunc(
                signature,
                cache=True,
                pipeline_class=_AnnouncingCompiler,
                error_model="numpy",
            )(self.function)

    def prepare(self) -> None:
        """Have it compiled, or loaded, now: where several threads will call it first."""
        _ = self._compiled

    @property
    def address(self) -> int:
        """The address of the machine code."""
        return int(self._compiled.address)

    @cached_property
    def quick(self) -> Callable[..., None]:
        """Run it now, keeping the interpreter lock: for what takes microseconds.

        A thread that gives up the lock may wait for milliseconds, Python's switch interval, until it has it back.
        """
        n_arguments = len(inspect.signature(self.function).parameters)
        return ctypes.PYFUNCTYPE(None, *[ctypes.c_int64] * n_arguments)(self.address)

    def __call__(self, *arguments: int) -> None:
        """Run it now, without the interpreter lock."""
        self._compiled.ctypes(*arguments)


def kernel(function: Callable[..., None]) -> Kernel:
    """A kernel that rounds every operation as written."""
    return Kernel(function)


def kernel_from(template: Callable[..., None], name: str, **bindings: Any) -> Kernel:
    """A kernel made of a function's code, with some of its global names bound anew.

    The name tells kernels of one template apart in the cache, so it has to say all that the bindings differ in. (Numba
    could cache closures, but not ones over compiled functions.)
    """
    function = FunctionType(template.__code__, template.__globals__ | bindings, name)
    function.__qualname__, function.__doc__ = name, template.__doc__
    return Kernel(function)
