"""Changes of memory that no other thread comes between."""

from collections.abc import Callable, Mapping

from pyggml_reference.ptx.addresses import addresses_of
from pyggml_reference.ptx.arithmetic import BINARY, dtype_of
from pyggml_reference.ptx.program import Instruction
from pyggml_reference.ptx.threads import Lanes, Threads

_SPACES = ("global", "shared")


def _change(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    """Thread by thread; `atom` gives what was there before, `red` nothing."""
    *targets, place, source = instruction.operands
    kind = instruction.opcode[-1]
    space = next((each for each in instruction.opcode if each in _SPACES), "generic")
    change = next(BINARY[each] for each in instruction.opcode if each in BINARY)
    addresses, values = addresses_of(threads, place, lanes), threads.read(source, kind, lanes)
    for i in range(lanes.size):
        before = threads.load(addresses[i : i + 1], space, dtype_of(kind), lanes[i : i + 1])
        threads.store(addresses[i : i + 1], space, change(before, values[i : i + 1]), lanes[i : i + 1])
        for target in targets:
            threads.write(target, before, lanes[i : i + 1])
    return True


ATOMICS: Mapping[str, Callable[[Threads, Instruction, Lanes], bool]] = {"atom": _change, "red": _change}
