"""The memory of a plan: where its values and its workers' scratch lie."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyggml.backend.graph import Value


@dataclass(frozen=True)
class Memory:
    """Where a plan's values and its workers' scratch lie."""

    arena: int
    offsets: Mapping[int, int]
    scratch: int
    scratch_bytes: int

    def address(self, value: Value) -> int:
        """Where a value's first row begins."""
        return self.arena + self.offsets[value.index]
