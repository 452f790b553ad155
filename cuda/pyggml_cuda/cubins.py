"""Machine code for one exact architecture, which CuPy does not make by itself; kept where CuPy keeps its own."""

import hashlib
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

import cupy
from cupy.cuda import nvrtc

_OPTIONS = ("-std=c++17",)


def compiled(text: str, expression: str, architecture: str) -> "cupy.RawKernel":
    """A kernel of a program, by its name with template arguments; architecture: such as 90a."""
    key = repr((text, expression, architecture, _OPTIONS, nvrtc.getVersion()))
    digest = hashlib.sha256(key.encode()).hexdigest()
    directory = Path(os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")).expanduser()
    path = next(directory.glob(f"{digest}.*.cubin"), None) or _store(directory, digest, text, expression, architecture)
    return cupy.RawModule(path=str(path)).get_function(path.name.split(".")[1])


def _store(directory: Path, digest: str, text: str, expression: str, architecture: str) -> Path:
    """Compile, and write the code to a file whose name holds that of the kernel in it."""
    program = nvrtc.createProgram(text, "", (), ())
    try:
        nvrtc.addNameExpression(program, expression)
        options = (*_OPTIONS, f"-arch=sm_{architecture}")
        try:
            nvrtc.compileProgram(program, options)
        except nvrtc.NVRTCError as error:
            raise RuntimeError(f"{expression} does not compile: {nvrtc.getProgramLog(program)}") from error
        name, code = nvrtc.getLoweredName(program, expression), nvrtc.getCUBIN(program)
    finally:
        nvrtc.destroyProgram(program)
    path = directory / f"{digest}.{name}.cubin"
    directory.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=directory, delete=False) as file:
        file.write(code)
    return Path(file.name).replace(path)
