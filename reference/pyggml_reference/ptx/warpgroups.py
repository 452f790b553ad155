"""Products by four warps, which go on by themselves until they are waited for (wgmma)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml_reference.ptx.arithmetic import Array
from pyggml_reference.ptx.collectives import numbers, rows_of_a, warps_of
from pyggml_reference.ptx.memory import EmulationError
from pyggml_reference.ptx.program import Immediate, Instruction, Vector
from pyggml_reference.ptx.threads import Lanes, Threads


@dataclass
class Product:
    """One that has been begun, by warpgroups (n, 128)."""

    instruction: Instruction
    lanes: Lanes
    groups: Array
    descriptors: npt.NDArray[np.uint64]
    adds: Array


def _wgmma(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    kind = instruction.opcode[1]
    if kind == "fence":
        return True
    if kind == "commit_group":
        threads.product_groups[lanes] += 1
        return True
    if kind == "wait_group":
        (n,) = instruction.operands
        if not isinstance(n, Immediate):
            raise EmulationError("wgmma.wait_group takes a number")
        _finish(threads, lanes, n.value)
        return True
    warps_of(lanes)
    if lanes.size % 128 or (lanes[::128] % 128).any():
        raise EmulationError("not all four warps of a warpgroup are at a product")
    _, _, descriptor, add, *_ = instruction.operands
    threads.pending_products.append(
        Product(
            instruction,
            lanes,
            threads.product_groups[lanes],
            threads.read(descriptor, "u64", lanes)[::128],
            threads.read(add, "pred", lanes)[::128],
        )
    )
    return True


def _finish(threads: Threads, lanes: Lanes, n_left: int) -> None:
    kept = []
    for each in threads.pending_products:
        own = np.isin(each.lanes, lanes) & (each.groups < threads.product_groups[each.lanes] - n_left)
        due = own.reshape(-1, 128).all(-1)
        for group in np.flatnonzero(due):
            _multiply(threads, each, int(group))
        if not due.all():
            left = np.repeat(~due, 128)
            kept.append(
                Product(each.instruction, each.lanes[left], each.groups[left], each.descriptors[~due], each.adds[~due])
            )
    threads.pending_products = kept


def _multiply(threads: Threads, product: Product, group: int) -> None:
    """What stands in registers and in shared memory now: the threads had no right to change it since."""
    lanes = product.lanes[128 * group : 128 * group + 128]
    shape = product.instruction.opcode[4]
    n_tokens, n_columns = int(shape[shape.index("n") + 1 : shape.index("k")]), int(shape[shape.index("k") + 1 :])
    kind = product.instruction.opcode[6]
    d, a, *_ = product.instruction.operands
    if not isinstance(a, Vector) or not isinstance(d, Vector):
        raise NotImplementedError("a in shared memory")
    registers = np.stack([threads.read(each, "b32", lanes).reshape(4, 32) for each in a.parts], axis=-1)
    rows = rows_of_a(registers.view(np.uint32), kind, 16, n_columns)
    columns = _from_shared(
        threads, int(threads.block[lanes[0]]), int(product.descriptors[group]), n_tokens, n_columns, kind
    )
    result = rows @ columns.T
    lane = np.arange(32)
    for i, each in enumerate(d.parts):
        values = result[:, lane // 4 + i % 4 // 2 * 8, i // 4 * 8 + 2 * (lane % 4) + i % 2].reshape(-1)
        if product.adds[group]:
            values = values + threads.read(each, "f32", lanes)
        threads.write(each, values.astype(np.float32), lanes)


#: Bytes of a row by the layout in a descriptor.
_ROW_BYTES = {1: 128, 2: 64, 3: 32}


def _from_shared(
    threads: Threads, block: int, descriptor: int, n_tokens: int, n_columns: int, kind: str
) -> npt.NDArray[np.float64]:
    """b's columns, (n_tokens, n_columns), token by token in shared memory, as a descriptor says."""
    start, stride, layout = (descriptor & 0x3FFF) << 4, (descriptor >> 32 & 0x3FFF) << 4, descriptor >> 62
    if layout not in _ROW_BYTES:
        raise NotImplementedError("b that is not swizzled")
    row_bytes = _ROW_BYTES[layout]
    token, byte = np.arange(n_tokens)[:, None], np.arange(2 * n_columns)[None]
    # The hardware swaps bits of the address itself: groups have to begin at multiples of their size.
    address = start + token // 8 * stride + token % 8 * row_bytes + byte
    swapped = address ^ (address >> 7 & row_bytes // 16 - 1) << 4
    if swapped.max() >= threads.shared_stride:
        raise EmulationError("a descriptor leads out of shared memory")
    data = threads.shared[block * threads.shared_stride + swapped]
    return numbers(np.ascontiguousarray(data).view(np.uint32), kind)


WARPGROUPS: Mapping[str, Callable[[Threads, Instruction, Lanes], bool]] = {"wgmma": _wgmma}
