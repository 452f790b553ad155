"""Matrix products as calls of kernels: which kernel a weight needs, its scratch and its chunks."""

from pyggml.backend.cpu.arguments import arguments
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.cpu.quantization import QuantizedForm, form_for
from pyggml.backend.cpu.weights import CPUWeight
from pyggml.backend.graph import Value
from pyggml_kernels.formats import FloatFormat, LevelFormat
from pyggml_kernels.jit import Kernel
from pyggml_kernels.matmul import levels, packed, values
from pyggml_kernels.matmul.words import N_COMMON
from pyggml_kernels.plan import Operation
from pyggml_kernels.simd.vector import TILE_ROWS

#: Chunks that a product is cut into for each worker: enough that one worker's delay is shared by all.
_CHUNKS_PER_WORKER = 8
#: Tiles in a chunk: more would save nothing, and leave workers idle at the end.
_MAX_TILES_PER_CHUNK = 8


def tiles_per_chunk(n_rows: int, n_workers: int) -> int:
    """Tiles in a chunk: a share for each worker several times over, at least 1."""
    return max(1, min(_MAX_TILES_PER_CHUNK, n_rows // (TILE_ROWS * n_workers * _CHUNKS_PER_WORKER)))


def linear_scratch_bytes(weight: CPUWeight) -> int:
    """Bytes of scratch that one worker needs for a product."""
    if not isinstance(weight.format, LevelFormat):
        return values.scratch_bytes(weight.n_columns)
    if weight.tile_bytes:
        return packed.scratch_bytes(weight.n_columns)
    return levels.scratch_bytes(weight.n_columns, weight.format.group_size)


def lower_linear(
    weight: CPUWeight, bias: int, memory: Memory, x: Value, output: Value, n_tokens: int, n_workers: int
) -> Operation:
    """The product of a weight and activations in the form it wants; `bias` is an address or 0."""
    kernel, own = _kernel(weight)
    per_chunk = tiles_per_chunk(weight.n_rows, n_workers)
    integers = {
        0: weight.address,
        1: weight.stride,
        2: weight.n_rows,
        3: weight.n_columns,
        4: n_tokens,
        5: memory.address(output),
        6: weight.n_rows,
        7: bias,
        8: per_chunk,
        9: memory.scratch,
        10: memory.scratch_bytes,
        **_activation(weight, memory.address(x), n_tokens),
        **own,
    }
    # With no rows there is nothing to do, and decoding the weights would be work for nothing.
    n_chunks = -(-weight.n_rows // (TILE_ROWS * per_chunk)) if n_tokens else 0
    return Operation(kernel, arguments(N_COMMON + 2, integers), n_chunks)


def _activation(weight: CPUWeight, address: int, n_tokens: int) -> dict[int, int]:
    """The words for the other operand."""
    form, n = form_for(weight), weight.n_columns
    if not isinstance(form, QuantizedForm):
        return {11: address, 12: n * 4, 16: n, 17: n}
    x, scales, shifts, sums = form.arrays(address, n_tokens, n)
    return {11: x, 12: n, 13: scales, 14: shifts, 15: sums, 16: form.block_size, 17: form.group_size}


def _kernel(weight: CPUWeight) -> tuple[Kernel, dict[int, int]]:
    """The kernel for a weight, and the words that only this kernel has."""
    form = weight.format
    if isinstance(form, LevelFormat):
        if weight.tile_bytes and form.packing is not None:
            return packed.packed_product(form.packing), {18: form.packing.offset}
        return levels.BLOCK_PRODUCTS[form.group_size], {18: form.decode.address, 19: form.block_size}
    if not isinstance(form, FloatFormat):
        raise TypeError(f"{form.name} has no matrix product")
    if weight.tile_bytes:
        return values.VALUE_PRODUCTS[form.name], {}
    return values.ROW_PRODUCT, {18: form.load.address}
