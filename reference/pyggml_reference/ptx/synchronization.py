"""Barriers: those of a block's threads, and those in shared memory that count arrivals and bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyggml_reference.ptx.addresses import addresses_of
from pyggml_reference.ptx.collectives import warps_of
from pyggml_reference.ptx.memory import EmulationError
from pyggml_reference.ptx.program import Instruction
from pyggml_reference.ptx.threads import AT_BARRIER, AT_PHASE, RUNNING, Lanes, Threads


@dataclass
class Barrier:
    """Of shared memory: how many arrive in a phase, how many have not yet, bytes that are to come, phases so far."""

    n: int
    left: int
    n_bytes: int = 0
    phase: int = 0
    arriving: Any = None
    """What the warps know that have arrived in this phase."""
    known: Any = None
    """What those of the phase before knew."""

    def settle(self) -> None:
        """End the phase if nothing is missing."""
        if not self.left and not self.n_bytes:
            self.phase += 1
            self.left = self.n
            self.known, self.arriving = self.arriving, None


def _bar(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    if instruction.opcode[1] == "warp":
        warps_of(lanes)
        threads.races.warps_meet(lanes)
        return True
    number, *count = instruction.operands
    numbers = threads.read(number, "u32", lanes)
    threads.state[lanes] = AT_BARRIER
    threads.state_detail[lanes] = numbers
    for block in np.unique(threads.block[lanes]):
        for barrier in np.unique(numbers):
            own = (threads.block == block) & (threads.state == AT_BARRIER) & (threads.state_detail == barrier)
            wanted = int(threads.read(count[0], "u32", lanes)[0]) if count else threads.alive_in(int(block))
            if np.count_nonzero(own) == wanted:
                threads.state[own] = RUNNING
                threads.races.meet(np.flatnonzero(own))
    return False


def _mbarrier(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    kind = instruction.opcode[1]
    handle = {"init": _begin, "arrive": _arrive, "try_wait": _wait, "test_wait": _wait}.get(kind)
    if handle is None:
        raise NotImplementedError(".".join(instruction.opcode))
    return handle(threads, instruction, lanes)


def _begin(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    address, count = instruction.operands
    counts = threads.read(count, "u32", lanes)
    for lane, place, n in zip(lanes, addresses_of(threads, address, lanes), counts, strict=True):
        threads.barriers[int(threads.block[lane]), int(place)] = Barrier(int(n), int(n))
    return True


def _barrier(threads: Threads, lane: int, address: int) -> Barrier:
    key = int(threads.block[lane]), address
    if key not in threads.barriers:
        raise EmulationError(f"there is no barrier at {address}")
    found: Barrier = threads.barriers[key]
    return found


def _arrive(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    _, address, *rest = instruction.operands
    n_bytes = (
        threads.read(rest[0], "u32", lanes) if "expect_tx" in instruction.opcode else np.zeros(lanes.size, np.uint32)
    )
    for lane, place, n in zip(lanes, addresses_of(threads, address, lanes), n_bytes, strict=True):
        barrier = _barrier(threads, int(lane), int(place))
        if not barrier.left:
            raise EmulationError(f"more arrive at the barrier at {int(place)} than it waits for")
        barrier.arriving = threads.races.arrive(int(lane), barrier.arriving)
        barrier.n_bytes += int(n)
        barrier.left -= 1
        barrier.settle()
    release_phases(threads)
    return True


def complete_bytes(threads: Threads, block: int, address: int, n_bytes: int) -> None:
    """Bytes have come that a barrier waits for."""
    barrier = threads.barriers[block, address]
    barrier.n_bytes -= n_bytes
    if barrier.n_bytes < 0:
        raise EmulationError(f"more bytes come than the barrier at {address} expects")
    barrier.settle()
    release_phases(threads)


def _wait(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    target, address, parity, *_ = instruction.operands
    places, parities = addresses_of(threads, address, lanes), threads.read(parity, "u32", lanes)
    over = np.array(
        [
            _barrier(threads, int(lane), int(place)).phase % 2 != int(wanted)
            for lane, place, wanted in zip(lanes, places, parities, strict=True)
        ]
    )
    threads.write(target, over, lanes)
    for lane, place in zip(lanes[over], places[over], strict=True):
        threads.races.learn(int(lane), _barrier(threads, int(lane), int(place)).known)
    waiting = lanes[~over]
    # These execute the instruction again when the phase is over.
    threads.position[waiting] -= 1
    threads.state[waiting] = AT_PHASE
    threads.state_detail[waiting] = places[~over].astype(np.int64) * 2 + parities[~over]
    return not waiting.size


def release_phases(threads: Threads) -> None:
    """Let those go on whose phase is over."""
    for lane in np.flatnonzero(threads.state == AT_PHASE):
        address, parity = divmod(int(threads.state_detail[lane]), 2)
        if _barrier(threads, int(lane), address).phase % 2 != parity:
            threads.state[lane] = RUNNING


SYNCHRONIZATION: Mapping[str, Callable[[Threads, Instruction, Lanes], bool]] = {
    "bar": _bar,
    "barrier": _bar,
    "mbarrier": _mbarrier,
}
