"""Where each value of a graph lies in one block of memory: values that never live at the same time share bytes."""

from collections.abc import Collection, Mapping, Sequence

from pyggml.backend.graph import Node, Rows, Value

#: Every value begins at a cache line.
ALIGNMENT = 64


def last_uses(nodes: Sequence[Node]) -> dict[int, int]:
    """The position in `nodes` of the last operation that reads each value; the final result is read after all."""
    last = {node.output.index: position for position, node in enumerate(nodes)}
    for position, node in enumerate(nodes):
        for value in node.inputs:
            last[value.index] = position
    last[nodes[-1].output.index] = len(nodes)
    return last


def _fit(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The lowest offset at which `size` bytes fit between the sorted, disjoint (offset, size) intervals taken."""
    offset = 0
    for start, length in taken:
        if start - offset >= size:
            break
        offset = max(offset, start + length)
    return offset


def lay_out(
    nodes: Sequence[Node], n_rows: Mapping[Rows, int], elsewhere: Collection[int] = ()
) -> tuple[dict[int, int], int]:
    """The offset of each value by its index, and the bytes needed in all. A node's output never overlaps its inputs,
    except where it says that it overwrites one. Values whose indices are in `elsewhere` get no memory here."""
    last = last_uses(nodes)
    offsets: dict[int, int] = {}
    live: dict[int, tuple[int, int]] = {}
    total = 0
    for position, node in enumerate(nodes):
        output = node.output
        if output.index not in elsewhere:
            if node.overwrites is None:
                size = -(-_size(output, n_rows) // ALIGNMENT) * ALIGNMENT
                offset = _fit(sorted(live.values()), size)
            else:
                offset, size = live.pop(node.overwrites.index)
            offsets[output.index] = offset
            live[output.index] = (offset, size)
            total = max(total, offset + size)
        for index in [index for index in live if last[index] <= position]:
            del live[index]
    return offsets, total


def _size(value: Value, n_rows: Mapping[Rows, int]) -> int:
    return value.row_bytes * n_rows[value.rows]
