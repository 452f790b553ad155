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


def compile_program(text: str, name: str, expressions: list[str], architecture: int | str) -> bytes:
    """The machine code of a program's kernels for a compute capability, as 90 or 90a; CompileError with its log."""
    return _compiled(text, name, expressions, f"sm_{architecture}", "CUBIN")[0]


def compile_to_ptx(text: str, name: str, expression: str, architecture: int | str) -> tuple[str, str]:
    """The PTX of one of a program's kernels, as CuPy has it compiled, and the kernel's name there."""
    code, names = _compiled(text, name, [expression], f"compute_{architecture}", "PTX", b"-ftz=true")
    return code.decode().rstrip("\0"), names[0]


def _compiled(
    text: str, name: str, expressions: list[str], architecture: str, kind: str, *options: bytes
) -> tuple[bytes, list[str]]:
    """What the compiler makes, and the names of the kernels in it."""
    library, program = _library(), ctypes.c_void_p()
    status = library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None)
    assert status == 0, f"NVRTC's status is {status}"
    try:
        for expression in expressions:
            assert library.nvrtcAddNameExpression(program, expression.encode()) == 0
        every = [f"-arch={architecture}".encode(), b"-std=c++17", *options]
        if library.nvrtcCompileProgram(program, len(every), (ctypes.c_char_p * len(every))(*every)):
            raise CompileError(_read(library, program, "ProgramLog").decode())
        names = []
        for expression in expressions:
            lowered = ctypes.c_char_p()
            assert library.nvrtcGetLoweredName(program, expression.encode(), ctypes.byref(lowered)) == 0
            names.append((lowered.value or b"").decode())
        return _read(library, program, kind), names
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _read(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, text)
    return text.raw
