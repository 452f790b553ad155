"""NVIDIA's run-time compiler, which needs no GPU, through ctypes."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path


class CompileError(Exception):
    """A program that does not compile; the message is the compiler's."""


@cache
def _library() -> ctypes.CDLL:
    """From the wheel nvidia-cuda-nvrtc."""
    found = importlib.util.find_spec("nvidia")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("no NVRTC: pip install nvidia-cuda-nvrtc, which the extra [test] brings")
    folders = [Path(folder) for folder in found.submodule_search_locations]
    (path,) = [path for folder in folders for path in folder.rglob("libnvrtc.so.*") if "alt" not in path.name]
    return ctypes.CDLL(str(path))


def compile_program(text: str, name: str, expressions: list[str], architecture: int) -> bytes:
    """The machine code of a program's kernels for a compute capability, as 90; CompileError with the compiler's log."""
    library, program = _library(), ctypes.c_void_p()
    status = library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None)
    assert status == 0, f"NVRTC's status is {status}"
    try:
        for expression in expressions:
            assert library.nvrtcAddNameExpression(program, expression.encode()) == 0
        options = [f"-arch=sm_{architecture}".encode(), b"-std=c++17"]
        if library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
            raise CompileError(_read(library, program, "ProgramLog").decode())
        return _read(library, program, "CUBIN")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _read(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, text)
    return text.raw
