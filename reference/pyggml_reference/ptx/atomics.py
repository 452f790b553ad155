"""Changes of memory that no other thread comes between."""

from collections.abc import Callable, Mapping

from pyggml_reference.ptx.addresses import addresses_of
from pyggml_reference.ptx.arithmetic import BINARY
from pyggml_reference.ptx.program import Instruction
from pyggml_reference.ptx.threads import Lanes, Threads

_SPACES = ("global", "shared")


def _change(threads: Threads, instruction: Instruction, lanes: Lanes) -> bool:
    """Thread by thread; `atom` gives what was there before, `red` nothing."""
    *targets, place, source = instruction.operands
    kind = instruction.opcode[-1]
    space = next((each for each in instruction.opcode if each in _SPACES), "generic")
    change = BINARY[instruction.opcode[-2]]
    addresses, values = addresses_of(threads, place, lanes), threads.read(source, kind, lanes)
    found = threads.change(addresses, space, values, change, lanes)
    for target in targets:
        threads.write(target, found, lanes)
    return True


ATOMICS: Mapping[str, Callable[[Threads, Instruction, Lanes], bool]] = {"atom": _change, "red": _change}
