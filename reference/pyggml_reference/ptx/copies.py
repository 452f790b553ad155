"""Copies that go on by themselves: a thread's, until it waits for them, and the copy engine's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pyggml_reference.ptx.addresses import addresses_of
from pyggml_reference.ptx.arithmetic import Array
from pyggml_reference.ptx.memory import EmulationError
from pyggml_reference.ptx.program import Address, Immediate, Instruction
from pyggml_reference.ptx.synchronization import complete_bytes
from pyggml_reference.ptx.threads import Lanes, Threads


@dataclass
class Pending:
    """Copies of one instruction, with the number of the group that each thread's is in."""

    lanes: Lanes
    groups: Array
    targets: Array
    sources: Array
    n_bytes: int
    n_read: Array


def _cp(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    if instruction.opcode[2] == "bulk":
        return _bulk(threads, instruction, lanes)
    if instruction.opcode[2] == "commit_group":
        threads.copy_groups[lanes] += 1
        return True
    if instruction.opcode[2] == "wait_all":
        _finish(threads, lanes, -1)
        return True
    if instruction.opcode[2] == "wait_group":
        (n,) = instruction.operands
        if not isinstance(n, Immediate):
            raise EmulationError("cp.async.wait_group takes a number")
        _finish(threads, lanes, n.value)
        return True
    target, source, size, *rest = instruction.operands
    if not isinstance(size, Immediate):
        raise EmulationError("cp.async takes a number of bytes")
    n_read = threads.read(rest[0], "u32", lanes) if rest else np.full(lanes.size, size.value, np.uint32)
    places = addresses_of(threads, target, lanes), addresses_of(threads, source, lanes)
    if any((each % np.uint64(size.value)).any() for each in places):
        raise EmulationError(f"cp.async of {size.value} bytes at no multiple of that")
    offsets = places[0].astype(np.int64) + threads.block[lanes] * threads.shared_stride
    threads.races.begin_write(lanes, offsets, size.value)
    threads.pending_copies.append(Pending(lanes, threads.copy_groups[lanes], *places, size.value, n_read))
    return True


def let_predecessor_write(threads: Threads) -> None:
    """The kernel before this one ends, as a thread waits for it: copies that were begun have what was there before."""
    predecessor, threads.memory.predecessor = threads.memory.predecessor, None
    if predecessor is not None:
        _finish(threads, np.arange(threads.state.size), -1)
        predecessor()


def _finish(threads: Threads, lanes: Lanes, n_left: int) -> None:
    """All copies of these threads but those of their last groups; with -1 those of no group yet, too."""
    kept = []
    for each in threads.pending_copies:
        due = np.isin(each.lanes, lanes) & (each.groups < threads.copy_groups[each.lanes] - n_left)
        _copy(threads, each, due)
        left = ~due
        if left.any():
            kept.append(
                Pending(each.lanes[left], each.groups[left], each.targets[left], each.sources[left], each.n_bytes,
                        each.n_read[left])
            )  # fmt: skip
    threads.pending_copies = kept


def _copy(threads: Threads, copies: Pending, due: Array) -> None:
    lanes = copies.lanes[due]
    for offset in range(0, copies.n_bytes, 4):
        step = np.uint64(offset)
        reads = copies.n_read[due] > offset
        words = np.zeros(lanes.size, np.uint32)
        words[reads] = threads.load(copies.sources[due][reads] + step, "global", np.uint32, lanes[reads])
        threads.store(copies.targets[due] + step, "shared", words, lanes)


def _bulk(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, source, size, barrier = instruction.operands
    if not isinstance(target, Address) or lanes.size != np.unique(threads.block[lanes]).size:
        raise EmulationError("a bulk copy is for one thread of a block")
    targets, sources = addresses_of(threads, target, lanes), addresses_of(threads, source, lanes)
    sizes, barriers = threads.read(size, "u32", lanes), addresses_of(threads, barrier, lanes)
    for each in (targets, sources, sizes):
        if (each % each.dtype.type(16)).any():
            raise EmulationError("addresses and sizes of bulk copies are multiples of 16")
    for i, lane in enumerate(lanes):
        threads.late.append(
            _later(threads, int(lane), int(targets[i]), int(sources[i]), int(sizes[i]), int(barriers[i]))
        )
    return True


def _later(threads: Threads, lane: int, target: int, source: int, n_bytes: int, barrier: int) -> Callable[[], None]:
    start = int(threads.block[lane]) * threads.shared_stride + target
    if target + n_bytes > threads.shared_stride:
        raise EmulationError(f"a bulk copy to {target} of {n_bytes} bytes leaves shared memory")
    threads.races.ask_copy(lane, start, n_bytes)

    def copy() -> None:
        threads.races.copied(start, n_bytes)
        threads.shared[start : start + n_bytes] = threads.memory.bytes_at(source, n_bytes)
        complete_bytes(threads, int(threads.block[lane]), barrier, n_bytes)

    return copy


COPIES: Mapping[str, Callable[[Threads, Instruction, Lanes], bool]] = {"cp": _cp}
