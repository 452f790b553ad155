"""Carrying out a plan: tensors are decoded, quantized and written a slab of rows at a time."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np
import numpy.typing as npt

from pyggml.errors import QuantizeError
from pyggml.gguf.tensors import trimmed
from pyggml.gguf.writer import Chunks, OutputTensor, Progress, write_gguf
from pyggml.quantize.file_types import FLOAT_TYPES
from pyggml.quantize.plan import PlannedTensor, QuantizePlan
from pyggml_kernels.formats import FloatFormat, Format
from pyggml_kernels.jit import Kernel

#: Weights that a thread has in memory as floats: few enough for its cache.
_WEIGHTS_PER_SLAB = 1 << 18
#: Bytes of a tensor that are copied at a time, in whole blocks.
_BLOCKS_PER_COPY = 1 << 18


def write_quantized(
    plan: QuantizePlan,
    n_threads: int,
    progress: Progress | None = None,
    on_compile: Callable[[str], None] | None = None,
) -> None:
    """Write the files of a plan with llama-quantize's bytes; each appears whole or not at all.

    The number of threads does not change the bytes: each takes slabs of rows, from decoding to quantizing.
    `on_compile` is called with the name of each kernel that has to be compiled, once on a machine.
    Raises QuantizeError (tensor, what was found, what to do) for weights that are not finite, a format that cannot be
    quantized to, and importance that is missing; GGUFError for a file that cannot be written.
    """
    _check(plan)
    with _compilation_told(on_compile):
        _check_formats(plan)
    with ThreadPoolExecutor(n_threads, "pyggml-quantize") as threads:
        for file in plan.files:
            tensors = [_output(plan, each, threads, n_threads) for each in file.tensors]
            write_gguf(file.path, file.metadata, tensors, progress)


def _check(plan: QuantizePlan) -> None:
    """Find out before anything is written."""
    if plan.lacks_importance:
        raise QuantizeError(
            f"{plan.source.path}: {len(plan.lacks_importance)} tensors, {plan.lacks_importance[0]!r} among them, would "
            "be useless at so few bits without an importance matrix: give one that has them, with --imatrix FILE"
        )
    sources = {path.resolve() for path in plan.source.paths}
    for file in plan.files:
        if file.path.resolve() in sources:
            raise QuantizeError(f"{os.fspath(file.path)}: this is the file to be quantized: give another name")
    for each in plan.tensors:
        if each.is_converted and each.info.type_name not in FLOAT_TYPES and not plan.options.allow_requantize:
            raise QuantizeError(
                f"{each.info.path}: tensor {each.info.name!r} is quantized already, as {each.info.type_name}; to do so "
                "again loses more than from F32, F16 or BF16: take such a file, or add --allow-requantize"
            )


@contextmanager
def _compilation_told(on_compile: Callable[[str], None] | None) -> Iterator[None]:
    """Call it for each kernel that is compiled meanwhile."""
    before = Kernel.on_compile
    if on_compile is not None:
        Kernel.on_compile = staticmethod(on_compile)
    try:
        yield
    finally:
        Kernel.on_compile = staticmethod(before)


def _check_formats(plan: QuantizePlan) -> None:
    """Decode and quantize a block for each pair of types, also so that no two threads compile the same kernel."""
    seen: set[tuple[int, int, bool]] = set()
    for each in plan.tensors:
        pair = (each.info.type_id, each.target.type_id, each.importance is None)
        if each.is_converted and pair not in seen:
            seen.add(pair)
            _check_pair(each, plan.formats)


def _check_pair(tensor: PlannedTensor, formats: Mapping[int, Format]) -> None:
    source = formats.get(tensor.info.type_id)
    if source is None:
        raise QuantizeError(
            f"tensor {tensor.info.name!r} has type {tensor.info.type_name}, which cannot be decoded; allowed are "
            f"{', '.join(each.name for each in formats.values())}"
        )
    target = formats.get(tensor.target.type_id)
    problem = "the format is unknown here"
    if target is not None:
        block = np.zeros((1, target.block_size), np.float32)
        try:
            target.quantize(block, None if tensor.importance is None else np.ones(target.block_size, np.float32))
            source.dequantize(np.zeros(source.block_bytes, np.uint8))
        except ValueError as error:
            problem = str(error)
        else:
            return
    raise QuantizeError(f"tensor {tensor.info.name!r} cannot become {tensor.target.name}: {problem}")


def _output(plan: QuantizePlan, tensor: PlannedTensor, threads: ThreadPoolExecutor, n_threads: int) -> OutputTensor:
    quantized = partial(_quantized, plan, tensor, threads, n_threads)
    chunks = quantized if tensor.is_converted else partial(_copied, plan, tensor)
    shape = trimmed(tensor.info.shape)
    return OutputTensor(tensor.info.name, tensor.target.type_id, shape, chunks, tensor.own_target)


def _copied(plan: QuantizePlan, tensor: PlannedTensor) -> Chunks:
    """The bytes as they are; llama-quantize looks for values that are not finite here too."""
    data = plan.source.tensor_bytes(tensor.info.name)
    known = plan.formats.get(tensor.info.type_id)
    n_bytes = _BLOCKS_PER_COPY * tensor.target.block_bytes
    for start in range(0, data.size, n_bytes):
        piece = data[start : start + n_bytes]
        if known is not None:
            _check_finite(tensor, known, piece)
        yield piece


def _quantized(plan: QuantizePlan, tensor: PlannedTensor, threads: ThreadPoolExecutor, n_threads: int) -> Chunks:
    """The slabs in their order, with so many being worked on that no thread waits, and no more."""
    decode, encode = plan.formats[tensor.info.type_id], plan.formats[tensor.target.type_id]
    rows = plan.source.tensor_bytes(tensor.info.name).reshape(-1, decode.row_bytes(tensor.info.shape[0]))
    pending: deque[Future[npt.NDArray[np.uint8]]] = deque()
    try:
        for first, last, importance in _slabs(tensor, len(rows)):
            pending.append(threads.submit(_quantized_slab, tensor, decode, encode, rows[first:last], first, importance))
            if len(pending) > 2 * n_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for each in pending:
            each.cancel()


def _quantized_slab(
    tensor: PlannedTensor,
    decode: Format,
    encode: Format,
    rows: npt.NDArray[np.uint8],
    first: int,
    importance: npt.NDArray[np.float32] | None,
) -> npt.NDArray[np.uint8]:
    weights = decode.dequantize(rows).reshape(len(rows), -1)
    try:
        out = encode.quantize(weights, importance)
    except ValueError as error:
        raise QuantizeError(f"{tensor.info.path}: tensor {tensor.info.name!r}, rows from {first} on: {error}") from None
    _check_finite(tensor, encode, out)
    return out


def _slabs(tensor: PlannedTensor, n_rows: int) -> Iterator[tuple[int, int, npt.NDArray[np.float32] | None]]:
    """First row, last row and importance of each slab; none reaches over the matrices of a stack."""
    n_columns, per_matrix = tensor.info.shape[:2]
    per_slab = max(1, _WEIGHTS_PER_SLAB // n_columns)
    matrices = None if tensor.importance is None else tensor.importance.reshape(-1, n_columns)
    for matrix, start in enumerate(range(0, n_rows, per_matrix)):
        for first in range(start, start + per_matrix, per_slab):
            yield first, min(first + per_slab, start + per_matrix), None if matrices is None else matrices[matrix]


def _check_finite(tensor: PlannedTensor, known: Format, data: npt.NDArray[np.uint8]) -> None:
    """Look at every number that a block keeps as a float: weights, or scales."""
    blocks = np.ascontiguousarray(data).reshape(-1).view(known.layout)
    numbers = [blocks[name] for name in known.layout.names or () if known.layout[name].base.kind == "f"]
    if isinstance(known, FloatFormat) and not numbers:
        numbers = [known.dequantize(data)]
    if not all(np.isfinite(each).all() for each in numbers):
        raise QuantizeError(
            f"{tensor.info.path}: tensor {tensor.info.name!r} holds weights that are not finite, or too large for "
            f"{known.name}: take a sound source, or a type with a wider range"
        )
