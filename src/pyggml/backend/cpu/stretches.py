"""A tower's operations in stretches, each computed for one block of patches after the other.

What only one stretch knows needs room for a block alone, and is still in the processor's cache when it is read. Of a
network's wide middle, which would take more memory than all other values, there is never more than a block.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyggml.backend.arena import ALIGNMENT, last_uses, lay_out
from pyggml.backend.graph import Node, Rows

#: Patches in a block: so many that weights are widened for few blocks, so few that a block stays in the cache; a
#: multiple of 4, which are merged, and of 6, which are multiplied at once.
BLOCK_PATCHES = 504

RowNumbers = Mapping[Rows, int]


@dataclass(frozen=True)
class Stretch:
    """Operations that follow each other: on each row by itself, or a single one that needs all rows at once."""

    nodes: tuple[Node, ...]
    in_blocks: bool


def cut(nodes: Sequence[Node], needs_all_rows: Callable[[Node], bool]) -> list[Stretch]:
    """The stretches, each as long as it can be."""
    result: list[Stretch] = []
    for node in nodes:
        if not needs_all_rows(node) and result and result[-1].in_blocks:
            result[-1] = Stretch((*result[-1].nodes, node), True)
        else:
            result.append(Stretch((node,), not needs_all_rows(node)))
    return result


class Places:
    """Where values lie: with all rows those that several stretches know, and behind them those of a block."""

    def __init__(self, stretches: Sequence[Stretch], n_rows: RowNumbers, n_block_rows: RowNumbers) -> None:
        nodes = [node for stretch in stretches for node in stretch.nodes]
        self._values = {node.output.index: node.output for node in nodes}
        self._roots = _roots(nodes)
        self._whole, start = self._lay_out_whole(nodes, self._shared(stretches), n_rows)
        self._inner: list[Mapping[int, int]] = []
        #: Bytes in all.
        self.n_bytes = start
        for stretch in stretches:
            offsets, n_bytes = lay_out(stretch.nodes, n_block_rows, self._whole)
            self._inner.append({index: start + offset for index, offset in offsets.items()})
            self.n_bytes = max(self.n_bytes, start + n_bytes)

    def offsets(self, stretch: int, first: RowNumbers) -> dict[int, int]:
        """Where the values that a stretch knows, given by its number, have the block that begins with these rows."""
        whole = {
            index: offset + first[self._values[index].rows] * self._values[index].row_bytes
            for index, offset in self._whole.items()
        }
        return {**self._inner[stretch], **whole}

    def _shared(self, stretches: Sequence[Stretch]) -> set[int]:
        """The roots of the values that several stretches know, or one that needs all rows."""
        known_to: dict[int, int] = {}
        shared = set()
        for number, stretch in enumerate(stretches):
            for value in (value for node in stretch.nodes for value in (node.output, *node.inputs)):
                root = self._roots[value.index]
                if not stretch.in_blocks or known_to.setdefault(root, number) != number:
                    shared.add(root)
        return shared

    def _lay_out_whole(self, nodes: Sequence[Node], shared: set[int], n_rows: RowNumbers) -> tuple[dict[int, int], int]:
        """Offsets, and bytes in all. A value takes over the memory of one with as long rows that is read no more.

        That is right in blocks, too: before a row is written, the same row has been read for the last time.
        """
        ending = self._ending(nodes)
        free: defaultdict[tuple[Rows, int], list[int]] = defaultdict(list)
        offsets: dict[int, int] = {}
        total = 0
        for position, node in enumerate(nodes):
            value, root = node.output, self._roots[node.output.index]
            if root in shared and root != value.index:
                offsets[value.index] = offsets[root]
            elif root in shared and (reusable := free[value.rows, value.row_bytes]):
                offsets[root] = reusable.pop()
            elif root in shared:
                offsets[root] = total
                total += -(-value.row_bytes * n_rows[value.rows] // ALIGNMENT) * ALIGNMENT
            for index in shared.intersection(ending[position]):
                free[self._values[index].rows, self._values[index].row_bytes].append(offsets[index])
        return offsets, total

    def _ending(self, nodes: Sequence[Node]) -> defaultdict[int, list[int]]:
        """The roots whose memory is used for the last time at a position; the result's is so behind all of them."""
        last: dict[int, int] = {}
        for index, position in last_uses(nodes).items():
            last[self._roots[index]] = max(position, last.get(self._roots[index], 0))
        result = defaultdict(list)
        for root, position in last.items():
            result[position].append(root)
        return result


def _roots(nodes: Sequence[Node]) -> dict[int, int]:
    """For each value the first one in the same memory, which it or those between them overwrite."""
    roots: dict[int, int] = {}
    for node in nodes:
        index, overwritten = node.output.index, node.overwrites
        roots[index] = index if overwritten is None else roots[overwritten.index]
    return roots
