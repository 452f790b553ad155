"""What `pyggml devices` prints."""

from collections.abc import Iterator
from importlib import import_module

import click

from pyggml.bench.fields import cpu_name
from pyggml.errors import UsageError
from pyggml.gpus import name as gpu_name
from pyggml.placement import gpu_unavailable
from pyggml_cuda import driver
from pyggml_kernels.simd.cpu import tier
from pyggml_kernels.threads import available_cores


def list_devices() -> None:
    """A line for each device, and one that says why there is no GPU. UsageError if PYGGML_SIMD is wrong."""
    try:
        instructions = tier()
    except ValueError as error:
        raise UsageError(str(error)) from None
    click.echo(f"CPU: {cpu_name()}, {instructions}, {available_cores()} threads")
    for line in _gpu_lines():
        click.echo(line)
    if reason := gpu_unavailable():
        click.echo(f"no GPU can be used: {reason}")


def _gpu_lines() -> Iterator[str]:
    if not driver.is_installed():
        return
    try:
        listing = import_module("pyggml_cuda.listing")
    except ImportError:
        return
    for gpu in listing.gpus():
        major, minor = gpu.capability
        memory = f"{gpu.free_bytes / 2**30:.1f} of {gpu.total_bytes / 2**30:.1f} GiB free"
        newest = "driver for CUDA {}.{}".format(*listing.driver_version())
        too_old = "" if gpu.is_usable else ", too old"
        yield f"{gpu_name(gpu.number)}: {gpu.name}, compute capability {major}.{minor}{too_old}, {memory}, {newest}"
