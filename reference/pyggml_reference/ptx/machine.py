"""Running a kernel: which threads go on, one instruction after the other."""

import numpy as np
import numpy.typing as npt

from pyggml_reference.ptx.instructions import HANDLERS
from pyggml_reference.ptx.memory import DeviceMemory, EmulationError
from pyggml_reference.ptx.program import Kernel, Program
from pyggml_reference.ptx.synchronization import release_phases
from pyggml_reference.ptx.threads import AT_PHASE, DONE, RUNNING, Grid, Threads

#: Threads that run together.
_MOST_THREADS = 8192


def launch(program: Program, name: str, grid: Grid, parameters: bytes, memory: DeviceMemory) -> None:
    """Run all blocks of a kernel; EmulationError for what hardware would punish, naming the instruction."""
    kernel = program.kernels[name]
    addresses = _place_globals(program, memory)
    n_blocks = int(np.prod(grid.blocks))
    at_once = max(1, _MOST_THREADS // grid.n_threads)
    for first in range(0, n_blocks, at_once):
        n = min(at_once, n_blocks - first)
        threads = Threads(program, kernel, grid, parameters, memory, first, n)
        threads.global_symbols = addresses
        # Infinities and NaN are numbers to a GPU.
        with np.errstate(all="ignore"):
            _run(kernel, threads)


def _place_globals(program: Program, memory: DeviceMemory) -> dict[str, int]:
    """The program's variables that kernels name, in the device's memory; once for each program and memory."""
    used = {
        operand.name if hasattr(operand, "name") else getattr(operand, "base", None)
        for kernel in program.kernels.values()
        for instruction in kernel.instructions
        for operand in instruction.operands
    }
    addresses = program.__dict__.setdefault("placed", {}).setdefault(id(memory), {})
    for name, data in program.globals.items():
        if name in used and name not in addresses:
            addresses[name] = memory.allocate(len(data))
            memory.bytes_at(addresses[name], len(data))[:] = np.frombuffer(data, np.uint8)
    return dict(addresses)


def _run(kernel: Kernel, threads: Threads) -> None:
    """All threads to their end. Those that are furthest behind go first, so that threads meet again behind a branch."""
    instructions = kernel.instructions
    while True:
        running = np.flatnonzero(threads.state == RUNNING)
        if not running.size:
            if not _wake(threads):
                return
            continue
        positions = threads.position[running]
        at = int(positions.min())
        behind = positions == at
        lanes = running[behind]
        others = positions[~behind]
        limit = int(others.min()) if others.size else len(instructions)
        while at < limit:
            if at >= len(instructions):
                threads.state[lanes] = DONE
                break
            instruction = instructions[at]
            active = _guarded(threads, instruction.guard, lanes)
            threads.position[lanes] = at + 1
            try:
                goes_on = not active.size or HANDLERS[instruction.opcode[0]](threads, instruction, active)
            except (EmulationError, KeyError, NotImplementedError) as error:
                raise EmulationError(f"{kernel.name}, instruction {at}, {instruction.text}: {error}") from error
            if not goes_on:
                break
            at += 1


def _guarded(threads: Threads, guard: tuple[str, bool] | None, lanes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if guard is None:
        return lanes
    name, is_negated = guard
    found: npt.NDArray[np.int64] = lanes[threads.registers[name][lanes] != is_negated]
    return found


def _wake(threads: Threads) -> bool:
    """No thread can go on: let the copy engine work; False if all threads are done."""
    if (threads.state == DONE).all():
        return False
    late, threads.late = threads.late, []
    for each in late:
        each()
    release_phases(threads)
    if not late and not (threads.state == RUNNING).any():
        waiting = np.flatnonzero(threads.state != DONE)
        where = sorted({int(each) for each in threads.position[waiting]})
        kind = "phases" if (threads.state[waiting] == AT_PHASE).any() else "barriers"
        raise EmulationError(f"{threads.kernel.name}: {waiting.size} threads wait for ever, at {kind}, before {where}")
    return True
