"""What the 32 lanes of a warp do together: exchanges, votes, and products of small matrices."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_reference.ptx.addresses import addresses_of
from pyggml_reference.ptx.arithmetic import Array
from pyggml_reference.ptx.memory import EmulationError
from pyggml_reference.ptx.program import Instruction, Operand, Vector
from pyggml_reference.ptx.threads import Lanes, Threads


def warps_of(lanes: Lanes) -> Lanes:
    """The lanes, (n_warps, 32): all of a warp have to be there."""
    if lanes.size % 32 or (lanes.reshape(-1, 32) != lanes.reshape(-1, 32)[:, :1] + np.arange(32)).any():
        raise EmulationError("not all lanes of a warp are at an instruction that they execute together")
    if (lanes[::32] % 32).any():
        raise EmulationError("a warp begins at no multiple of 32")
    return lanes.reshape(-1, 32)


def _shfl(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source, other, limit, _ = instruction.operands
    own = np.arange(32)
    values = threads.read(source, "b32", warps_of(lanes).reshape(-1)).reshape(-1, 32)
    argument = threads.read(other, "u32", lanes).astype(np.int64).reshape(-1, 32)
    bounds = threads.read(limit, "u32", lanes).astype(np.int64).reshape(-1, 32)
    segment, most = bounds >> 8 & 31, bounds & 31
    lowest = own & segment
    highest = lowest | most & ~segment
    mode = instruction.opcode[2]
    index = {"bfly": own ^ argument, "idx": lowest | argument & ~segment, "up": own - argument, "down": own + argument}[
        mode
    ]
    is_there = index >= highest if mode == "up" else index <= highest
    index = np.where(is_there, index, own)
    result = np.take_along_axis(values, index, axis=1).reshape(-1)
    targets = target.parts if isinstance(target, Vector) else (target,)
    threads.write(targets[0], result, lanes)
    if len(targets) == 2:
        threads.write(targets[1], is_there.reshape(-1), lanes)
    return True


def _vote(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source, _ = instruction.operands
    votes = threads.read(source, "pred", warps_of(lanes).reshape(-1)).reshape(-1, 32)
    mode = instruction.opcode[2]
    result: Array
    if mode == "ballot":
        result = (votes.astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(-1).astype(np.uint32)
    else:
        result = {"any": votes.any(-1), "all": votes.all(-1), "uni": votes.all(-1) | ~votes.any(-1)}[mode].reshape(-1)
    threads.write(target, np.repeat(result, 32), lanes)
    return True


def _redux(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source, _ = instruction.operands
    values = threads.read(source, instruction.opcode[-1], warps_of(lanes).reshape(-1)).reshape(-1, 32)
    operation = {"add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and, "or": np.bitwise_or,
                 "xor": np.bitwise_xor}[instruction.opcode[2]]  # fmt: skip
    threads.write(target, np.repeat(operation.reduce(values, axis=-1).astype(values.dtype), 32), lanes)
    return True


def _activemask(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    masks = np.zeros(threads.block.size // 32 + 1, np.uint64)
    np.bitwise_or.at(masks, lanes // 32, np.uint64(1) << (lanes % 32).astype(np.uint64))
    threads.write(instruction.operands[0], masks[lanes // 32].astype(np.uint32), lanes)
    return True


def _registers(threads: Threads, operand: Operand, lanes: Lanes) -> npt.NDArray[np.uint32]:
    """The registers of a fragment, (n_warps, 32, n)."""
    parts = operand.parts if isinstance(operand, Vector) else (operand,)
    return np.stack([threads.read(each, "b32", lanes).view(np.uint32).reshape(-1, 32) for each in parts], axis=-1)


def numbers(registers: npt.NDArray[np.uint32], kind: str) -> npt.NDArray[np.float64]:
    """What stands in registers, as numbers: the last axis grows."""
    flat = np.ascontiguousarray(registers)
    if kind == "bf16":
        halves = flat.view(np.uint16).astype(np.uint32) << np.uint32(16)
        return halves.view(np.float32).astype(np.float64)
    dtype: Any = {"f16": np.float16, "s8": np.int8, "u8": np.uint8}[kind]
    found: npt.NDArray[np.float64] = flat.view(dtype).astype(np.float64)
    return found


def rows_of_a(registers: npt.NDArray[np.uint32], kind: str, n_rows: int, n_columns: int) -> npt.NDArray[np.float64]:
    """The matrix a (n_warps, n_rows, n_columns) of fragments."""
    values = numbers(registers, kind)
    n_registers = registers.shape[-1]
    each = values.shape[-1] // n_registers
    result = np.zeros((len(values), n_rows, n_columns))
    lane = np.arange(32)
    for r in range(n_registers):
        down, right = (r % 2, r // 2) if n_rows == 16 else (0, r)
        for i in range(each):
            result[:, lane // 4 + 8 * down, each * (lane % 4) + 4 * each * right + i] = values[:, :, each * r + i]
    return result


def _columns_of_b(registers: npt.NDArray[np.uint32], kind: str, n_columns: int) -> npt.NDArray[np.float64]:
    """The matrix b (n_warps, n_columns of a, 8)."""
    values = numbers(registers, kind)
    n_registers = registers.shape[-1]
    each = values.shape[-1] // n_registers
    result = np.zeros((len(values), n_columns, 8))
    lane = np.arange(32)
    for r in range(n_registers):
        for i in range(each):
            result[:, each * (lane % 4) + 4 * each * r + i, lane // 4] = values[:, :, each * r + i]
    return result


def _mma(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    d, a, b, c = instruction.operands
    warps_of(lanes)
    shape = instruction.opcode[3]
    n_rows, n_columns = int(shape[1 : shape.index("n")]), int(shape[shape.index("k") + 1 :])
    result_kind, a_kind, b_kind, _ = instruction.opcode[6:]
    product = rows_of_a(_registers(threads, a, lanes), a_kind, n_rows, n_columns) @ _columns_of_b(
        _registers(threads, b, lanes), b_kind, n_columns
    )
    dtype = {"f32": np.float32, "s32": np.int32}[result_kind]
    addends = _registers(threads, c, lanes).view(dtype).astype(np.float64)
    parts = d.parts if isinstance(d, Vector) else (d,)
    lane = np.arange(32)
    for i, each in enumerate(parts):
        values = product[:, lane // 4 + i // 2 * 8, 2 * (lane % 4) + i % 2] + addends[:, :, i]
        threads.write(each, values.astype(dtype).reshape(-1), lanes)
    return True


def _ldmatrix(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source = instruction.operands
    parts = target.parts if isinstance(target, Vector) else (target,)
    addresses = addresses_of(threads, source, warps_of(lanes).reshape(-1)).reshape(-1, 32)
    lane = np.arange(32)
    for m, each in enumerate(parts):
        starts = addresses[:, 8 * m : 8 * m + 8]
        if (starts % np.uint64(16)).any():
            raise EmulationError("a row for ldmatrix begins at no multiple of 16")
        owners = lanes.reshape(-1, 32)[:, :8].reshape(-1)
        rows = np.stack(
            [threads.load((starts + np.uint64(2 * k)).reshape(-1), "shared", np.uint16, owners) for k in range(8)],
            axis=-1,
        ).reshape(-1, 8, 8)
        if "trans" in instruction.opcode:
            rows = rows.swapaxes(1, 2)
        halves = np.stack([rows[:, lane // 4, 2 * (lane % 4) + i] for i in range(2)], axis=-1)
        threads.write(each, np.ascontiguousarray(halves).view(np.uint32).reshape(-1), lanes)
    return True


COLLECTIVES: Mapping[str, Callable[[Threads, Instruction, Lanes], bool]] = {
    "shfl": _shfl,
    "vote": _vote,
    "redux": _redux,
    "activemask": _activemask,
    "mma": _mma,
    "ldmatrix": _ldmatrix,
}
