"""Instructions by name. A handler returns whether the threads go on with the next one."""

from collections.abc import Callable, Mapping

import numpy as np

from pyggml_reference.ptx import arithmetic
from pyggml_reference.ptx.addresses import addresses_of
from pyggml_reference.ptx.arithmetic import Array, dtype_of
from pyggml_reference.ptx.atomics import ATOMICS
from pyggml_reference.ptx.collectives import COLLECTIVES
from pyggml_reference.ptx.copies import COPIES, let_predecessor_write
from pyggml_reference.ptx.memory import LOCAL_BASE, SHARED_BASE, check_alignment
from pyggml_reference.ptx.program import Instruction, Name, Operand, Vector
from pyggml_reference.ptx.synchronization import SYNCHRONIZATION
from pyggml_reference.ptx.threads import DONE, Lanes, Threads
from pyggml_reference.ptx.warpgroups import WARPGROUPS

Handler = Callable[[Threads, Instruction, Lanes], bool]

_SPACES = ("param", "global", "shared", "local", "const")
_WINDOWS = {"shared": SHARED_BASE, "local": LOCAL_BASE, "global": 0}


def _read(threads: Threads, operand: Operand, kind: str, lanes: Lanes) -> Array:
    """Numbers; of two halves in a register each by itself, so twice as many."""
    if kind.endswith("x2"):
        return threads.read(operand, "b32", lanes).copy().view(np.float16)
    return threads.read(operand, kind, lanes)


def _write(threads: Threads, operand: Operand, values: Array, kind: str, lanes: Lanes) -> None:
    threads.write(operand, np.ascontiguousarray(values).view(np.uint32) if kind.endswith("x2") else values, lanes)


def _unary(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source = instruction.operands
    kind = instruction.opcode[-1]
    value = arithmetic.UNARY[instruction.opcode[0]](_read(threads, source, kind, lanes))
    _write(threads, target, value, kind, lanes)
    return True


def _binary(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, *sources = instruction.operands
    kind = instruction.opcode[-1]
    a, b = (_read(threads, each, kind, lanes) for each in sources)
    _write(threads, target, arithmetic.BINARY[instruction.opcode[0]](a, b), kind, lanes)
    return True


def _mov(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source = instruction.operands
    kind = instruction.opcode[-1]
    if isinstance(source, Vector):
        part = f"b{int(kind[1:]) // len(source.parts)}"
        parts = np.stack([threads.read(each, part, lanes) for each in source.parts], axis=-1)
        threads.write(target, np.ascontiguousarray(parts).view(dtype_of(kind)).reshape(-1), lanes)
    elif isinstance(target, Vector):
        part = f"b{int(kind[1:]) // len(target.parts)}"
        values = np.ascontiguousarray(threads.read(source, kind, lanes)).view(dtype_of(part))
        for i, each in enumerate(target.parts):
            threads.write(each, values[i :: len(target.parts)], lanes)
    else:
        threads.write(target, threads.read(source, kind, lanes), lanes)
    return True


def _multiply(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, *sources = instruction.operands
    kind = instruction.opcode[-1]
    a, b = (_read(threads, each, kind, lanes) for each in sources)
    part = next((each for each in instruction.opcode if each in ("lo", "hi", "wide")), None)
    _write(threads, target, arithmetic.multiply(a, b, part) if part else a * b, kind, lanes)
    return True


def _multiply_add(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, a, b, c = instruction.operands
    kind = instruction.opcode[-1]
    part = instruction.opcode[1]
    product = arithmetic.multiply(threads.read(a, kind, lanes), threads.read(b, kind, lanes), part)
    wide = f"{kind[0]}{8 * product.dtype.itemsize}"
    threads.write(target, product + threads.read(c, wide, lanes), lanes)
    return True


def _fma(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, *sources = instruction.operands
    kind = instruction.opcode[-1]
    a, b, c = (_read(threads, each, kind, lanes) for each in sources)
    _write(threads, target, arithmetic.fused_multiply_add(a, b, c, instruction.opcode[1]), kind, lanes)
    return True


def _shift(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, value, count = instruction.operands
    x = threads.read(value, instruction.opcode[-1], lanes)
    shifted = arithmetic.shift(x, threads.read(count, "u32", lanes), instruction.opcode[0] == "shl")
    threads.write(target, shifted.astype(x.dtype), lanes)
    return True


def _setp(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, *sources = instruction.operands
    kind, comparison = instruction.opcode[-1], instruction.opcode[1]
    a, b = (threads.read(each, kind, lanes) for each in sources[:2])
    result = arithmetic.COMPARISONS[comparison](a, b)
    if len(sources) == 3:
        result = arithmetic.BINARY[instruction.opcode[2]](result, threads.read(sources[2], "pred", lanes))
    targets = target.parts if isinstance(target, Vector) else (target,)
    threads.write(targets[0], result, lanes)
    if len(targets) == 2:
        threads.write(targets[1], ~result, lanes)
    return True


def _selp(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, a, b, chooser = instruction.operands
    kind = instruction.opcode[-1]
    chosen = np.where(threads.read(chooser, "pred", lanes), threads.read(a, kind, lanes), threads.read(b, kind, lanes))
    threads.write(target, chosen, lanes)
    return True


def _cvt(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, *sources = instruction.operands
    to, source_kind = instruction.opcode[-2:]
    if to == "f16x2":
        high, low = (threads.read(each, source_kind, lanes).astype(np.float16) for each in sources)
        threads.write(target, np.ascontiguousarray(np.stack([low, high], axis=-1)).view(np.uint32).reshape(-1), lanes)
        return True
    value = threads.read(sources[0], source_kind, lanes)
    threads.write(target, arithmetic.convert(value, to, instruction.opcode[1:-2]), lanes)
    return True


def _cvta(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source = instruction.operands
    space = next(each for each in instruction.opcode if each in _WINDOWS)
    window = np.uint64(_WINDOWS[space])
    value = threads.read(source, "u64", lanes)
    threads.write(target, value - window if "to" in instruction.opcode else value + window, lanes)
    return True


def _prmt(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, *sources = instruction.operands
    threads.write(target, arithmetic.permute_bytes(*(threads.read(each, "b32", lanes) for each in sources)), lanes)
    return True


def _bfe(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source, *place = instruction.operands
    value = threads.read(source, instruction.opcode[-1], lanes)
    position, length = (threads.read(each, "u32", lanes) for each in place)
    threads.write(target, arithmetic.extract_bits(value, position, length), lanes)
    return True


def _bfi(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, a, b, position, length = instruction.operands
    kind = instruction.opcode[-1]
    numbers = threads.read(a, kind, lanes), threads.read(b, kind, lanes)
    place = threads.read(position, "u32", lanes), threads.read(length, "u32", lanes)
    threads.write(target, arithmetic.insert_bits(*numbers, *place), lanes)
    return True


def _lop3(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, *sources, table = instruction.operands
    a, b, c = (threads.read(each, "b32", lanes) for each in sources)
    (code,) = {int(each) for each in threads.read(table, "b32", lanes)}
    result = np.zeros_like(a)
    for i in range(8):
        if code >> i & 1:
            result |= (a if i & 4 else ~a) & (b if i & 2 else ~b) & (c if i & 1 else ~c)
    threads.write(target, result, lanes)
    return True


def _shf(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, low, high, count = instruction.operands
    both = threads.read(low, "b32", lanes).astype(np.uint64)
    both |= threads.read(high, "b32", lanes).astype(np.uint64) << np.uint64(32)
    n = threads.read(count, "u32", lanes).astype(np.uint64)
    n = n & np.uint64(31) if "wrap" in instruction.opcode else np.minimum(n, np.uint64(32))
    shifted = both << n >> np.uint64(32) if "l" in instruction.opcode else both >> n
    threads.write(target, shifted.astype(np.uint32), lanes)
    return True


def _dot(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, a, b, c = instruction.operands
    kinds = instruction.opcode[-2:]
    signed = kinds[0][0] == "s", kinds[1][0] == "s"
    x, y = (np.ascontiguousarray(threads.read(each, "b32", lanes)) for each in (a, b))
    total = threads.read(c, "s32" if any(signed) else "u32", lanes)
    if instruction.opcode[0] == "dp4a":
        result = arithmetic.dot_bytes(x, y, total, signed)
    else:
        result = arithmetic.dot_pairs(x, y, total, instruction.opcode[1] == "hi", signed)
    threads.write(target, result, lanes)
    return True


def _bfind(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source = instruction.operands
    value = threads.read(source, instruction.opcode[-1], lanes)
    threads.write(target, arithmetic.highest_bit(value, "shiftamt" in instruction.opcode), lanes)
    return True


def _access(instruction: Instruction) -> tuple[str, str]:
    """The state space and the type."""
    space = next((each.split("::")[0] for each in instruction.opcode if each.split("::")[0] in _SPACES), "generic")
    return space, instruction.opcode[-1]


def _ld(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source = instruction.operands
    space, kind = _access(instruction)
    parts = target.parts if isinstance(target, Vector) else (target,)
    addresses, dtype = addresses_of(threads, source, lanes), dtype_of(kind)
    check_alignment(addresses, dtype.itemsize * len(parts))
    for i, each in enumerate(parts):
        threads.write(each, threads.load(addresses + np.uint64(i * dtype.itemsize), space, dtype, lanes), lanes)
    return True


def _st(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source = instruction.operands
    space, kind = _access(instruction)
    parts = source.parts if isinstance(source, Vector) else (source,)
    addresses, dtype = addresses_of(threads, target, lanes), dtype_of(kind)
    check_alignment(addresses, dtype.itemsize * len(parts))
    for i, each in enumerate(parts):
        values = threads.read(each, kind, lanes)
        threads.store(addresses + np.uint64(i * dtype.itemsize), space, values, lanes)
    return True


def _branch(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    (target,) = instruction.operands
    if not isinstance(target, Name):
        raise TypeError(f"a branch to {target}")
    threads.position[lanes] = threads.kernel.labels[target.name]
    return False


def _exit(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    threads.state[lanes] = DONE
    return False


def _grid_dependency(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    if instruction.opcode[1] == "wait":
        let_predecessor_write(threads)
    return True


def _nothing(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    return True


HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(set(arithmetic.UNARY) - {"mov"}, _unary),
    **dict.fromkeys(arithmetic.BINARY, _binary),
    "mov": _mov,
    "mul": _multiply,
    "mad": _multiply_add,
    "fma": _fma,
    "shl": _shift,
    "shr": _shift,
    "setp": _setp,
    "selp": _selp,
    "cvt": _cvt,
    "cvta": _cvta,
    "prmt": _prmt,
    "bfe": _bfe,
    "bfi": _bfi,
    "lop3": _lop3,
    "shf": _shf,
    "dp2a": _dot,
    "dp4a": _dot,
    "bfind": _bfind,
    "ld": _ld,
    "st": _st,
    "bra": _branch,
    "ret": _exit,
    "exit": _exit,
    "griddepcontrol": _grid_dependency,
    **dict.fromkeys(("setmaxnreg", "membar", "fence", "prefetch"), _nothing),
    **ATOMICS,
    **COLLECTIVES,
    **COPIES,
    **SYNCHRONIZATION,
    **WARPGROUPS,
}
