"""The GPU itself, through CuPy: compiled kernels, launches, graphs."""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt
from cupy.cuda import Event, Graph, Stream, driver

from pyggml_cuda import cubins
from pyggml_cuda.driver import library
from pyggml_cuda.launch import KernelName, Launch
from pyggml_cuda.sources import program

#: The oldest that kernels run on.
LEAST_CAPABILITY = (7, 5)
_TO_DEVICE, _TO_HOST, _ON_DEVICE = 1, 2, 3  # cudaMemcpyKind
_PROGRAMMATIC_STREAM_SERIALIZATION = 6  # CUlaunchAttributeID

#: What is raised by a GPU that fails.
FAILURES = (cupy.cuda.runtime.CUDARuntimeError, driver.CUDADriverError)

#: Something that a stream is to do.
Action = Callable[[Stream], None]


@cache
def _compiled(kernel: KernelName, number: int) -> "cupy.RawKernel":
    """The kernel for a GPU, which is the current one: modules belong to it."""
    if kernel.architecture:
        return cubins.compiled(program(kernel.file, kernel.headers), kernel.expression, kernel.architecture)
    module = cupy.RawModule(
        code=program(kernel.file, kernel.headers), options=("-std=c++17",), name_expressions=(kernel.expression,)
    )
    return module.get_function(kernel.expression)


@cache
def _function(kernel: KernelName, shared_bytes: int, number: int) -> int:
    """The handle of a kernel that may take so much shared memory, for a GPU, which is the current one."""
    compiled = _compiled(kernel, number)
    # The limit is the kernel's: another launch of it may need more.
    if shared_bytes > compiled.max_dynamic_shared_size_bytes:
        compiled.max_dynamic_shared_size_bytes = shared_bytes
    return int(compiled.kernel.ptr)


class _Attribute(ctypes.Structure):
    """CUlaunchAttribute with a value of 4 bytes."""

    _fields_ = (("id", ctypes.c_int), ("padding", ctypes.c_int), ("value", ctypes.c_int * 16))


class _Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("n_attributes", ctypes.c_uint),
    )


def on(number: int) -> "cupy.cuda.Device":
    """A context in which this GPU is the current one: what is done here, is done on the current GPU."""
    return cupy.cuda.Device(number)


@cache
def capability_of(number: int) -> tuple[int, int]:
    """The compute capability of a GPU, as in (9, 0)."""
    major, minor = divmod(int(cupy.cuda.Device(number).compute_capability), 10)
    return major, minor


def compute_capability() -> tuple[int, int]:
    """Of the current GPU."""
    return capability_of(cupy.cuda.runtime.getDevice())


@cache
def _shared_limit_of(number: int) -> int:
    return int(cupy.cuda.Device(number).attributes["MaxSharedMemoryPerBlockOptin"])


def shared_limit() -> int:
    """Bytes of shared memory that a block of the current GPU may take."""
    return _shared_limit_of(cupy.cuda.runtime.getDevice())


def launching(launch: Launch) -> Action:
    """The launch, ready to be given to a stream; compiles the kernel.

    From compute capability 9.0 on it may begin before the launch in front of it is over: see src/dependency.cuh.
    """
    number = cupy.cuda.runtime.getDevice()
    function = ctypes.c_void_p(_function(launch.kernel, launch.shared_bytes, number))
    parameters = (ctypes.c_void_p * len(launch.arguments))(*(each.ctypes.data for each in launch.arguments))
    attribute = _Attribute(id=_PROGRAMMATIC_STREAM_SERIALIZATION, value=(1,))
    config = _Config(launch.grid, (launch.block, 1, 1), launch.shared_bytes)
    config.attributes = ctypes.pointer(attribute)
    config.n_attributes = int(capability_of(number) >= (9, 0))
    start_kernel = library().cuLaunchKernelEx

    def start(stream: Stream) -> None:
        config.stream = stream.ptr
        if status := start_kernel(ctypes.byref(config), function, parameters, None):
            raise driver.CUDADriverError(status)

    start.keep = launch  # type: ignore[attr-defined]  # what the parameters point to
    return start


def multiplying(
    weights: int, x: int, out: int, number_bytes: int, is_bfloat: bool, n_rows: int, n_columns: int, n_tokens: int
) -> Action:
    """out (n_tokens, n_rows) floats = x (n_tokens, n_columns) times the transposed weights (n_rows, n_columns), by
    cuBLAS, both in one format of floats; sums in float32."""
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    kind = 0 if number_bytes == 4 else 14 if is_bfloat else 2  # CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F

    def start(stream: Stream) -> None:
        cublas, handle = cupy.cuda.cublas, cupy.cuda.device.get_cublas_handle()
        # CuPy gives cuBLAS the current stream.
        with stream:
            # Column-major: the transposed out (n_rows, n_tokens) = weights (n_rows, n_columns) times x^T.
            cublas.gemmEx(
                handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, n_rows, n_tokens, n_columns, one.ctypes.data,
                weights, kind, n_columns, x, kind, n_columns, zero.ctypes.data, out, 0, n_rows,
                cublas.CUBLAS_COMPUTE_32F, cublas.CUBLAS_GEMM_DEFAULT,
            )  # fmt: skip

    return start


def run(actions: Sequence[Action], stream: Stream) -> None:
    """Give a stream actions, one after the other."""
    for each in actions:
        each(stream)


def captured(actions: Sequence[Action], stream: Stream) -> Graph:
    """The actions as a graph, which a stream starts at once."""
    stream.begin_capture()
    try:
        run(actions, stream)
    finally:
        graph = stream.end_capture()
    return graph


def allocate(n_bytes: int) -> "cupy.ndarray":
    """Device memory, all zeros."""
    return _settled(cupy.zeros(n_bytes, cupy.uint8))


def empty(n_bytes: int) -> "cupy.ndarray":
    """Device memory with anything in it."""
    return cupy.empty(n_bytes, cupy.uint8)


def upload(data: npt.NDArray[np.uint8]) -> "cupy.ndarray":
    """A copy of host memory on the device."""
    return _settled(cupy.asarray(data))


def _settled(array: "cupy.ndarray") -> "cupy.ndarray":
    settle()
    return array


def settle() -> None:
    """Wait for what CuPy's own operations do, on a stream that those of `new_stream` do not wait for."""
    Stream.null.synchronize()


def pinned(n_bytes: int) -> npt.NDArray[np.uint8]:
    """Host memory that copies to and from the device do not wait for."""
    memory = cupy.cuda.alloc_pinned_memory(n_bytes)
    return np.frombuffer(memory, np.uint8, n_bytes)


def copy_to_device(target: int, source: npt.NDArray[Any], stream: Stream) -> None:
    """Begin to copy pinned memory to the device."""
    cupy.cuda.runtime.memcpyAsync(target, source.ctypes.data, source.nbytes, _TO_DEVICE, stream.ptr)


def copy_to_host(target: npt.NDArray[Any], source: int, stream: Stream) -> None:
    """Begin to copy from the device to pinned memory."""
    cupy.cuda.runtime.memcpyAsync(target.ctypes.data, source, target.nbytes, _TO_HOST, stream.ptr)


def copy_on_device(target: int, source: int, n_bytes: int, stream: Stream) -> None:
    """Begin to copy within the device's memory."""
    cupy.cuda.runtime.memcpyAsync(target, source, n_bytes, _ON_DEVICE, stream.ptr)


def new_stream() -> Stream:
    """A stream that waits for no other."""
    return Stream(non_blocking=True)


def new_event() -> Event:
    """An event that has not been recorded: nothing waits for it. Threads that wait for one sleep."""
    return Event(block=True, disable_timing=True)


def current() -> int:
    """The number of the current thread's device."""
    return int(cupy.cuda.runtime.getDevice())


def free_bytes(number: int) -> int:
    """The memory that is free on a GPU."""
    with on(number):
        cupy.get_default_memory_pool().free_all_blocks()
        free, _ = cupy.cuda.runtime.memGetInfo()
    return int(free)


def usable() -> list[int]:
    """The GPUs that kernels run on, by their numbers."""
    numbers = range(cupy.cuda.runtime.getDeviceCount())
    return [number for number in numbers if capability_of(number) >= LEAST_CAPABILITY]


def unavailable() -> str | None:
    """Why there is no GPU to work with; None if there is one."""
    try:
        n_devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"the CUDA driver is missing or too old ({error})"
    if not n_devices:
        return "the CUDA driver finds no GPU"
    if not usable():
        newest = max(capability_of(number) for number in range(n_devices))
        found, least = (".".join(map(str, each)) for each in (newest, LEAST_CAPABILITY))
        return f"the GPU has compute capability {found}; {least} is the least"
    return None


def run_now(*launches: Launch) -> None:
    """Launch, and wait until it is done."""
    run([launching(each) for each in launches], Stream.null)
    Stream.null.synchronize()
