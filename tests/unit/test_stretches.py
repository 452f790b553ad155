"""Stretches of operations in blocks of rows: whatever is read must be what was written, in every row."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.arena import ALIGNMENT
from pyggml.backend.cpu.stretches import Places, Stretch, cut
from pyggml.backend.graph import Attention, Graph, Node, RopeAngles, Rows, SelectOutputs, Value
from tests.unit.test_arena import FakeWeight, graphs


def needs_all_rows(node: Node) -> bool:
    return isinstance(node, Attention | SelectOutputs | RopeAngles)


def rows(n: int) -> dict[Rows, int]:
    return {"tokens": n, "outputs": n}


class Bytes:
    """Memory in which each row of a value is marked by the value's number and its own."""

    def __init__(self, places: Places, n_rows: int) -> None:
        self._memory = np.full(places.n_bytes, -1, np.int64)
        self._n_rows = n_rows

    def _part(self, offset: int, value: Value, row: int) -> "np.ndarray":
        begin = offset + row * value.row_bytes
        assert 0 <= begin <= begin + value.row_bytes <= len(self._memory)
        return self._memory[begin : begin + value.row_bytes]

    def check(self, offset: int, value: Value, first: int, n: int) -> None:
        for row in range(n):
            assert (self._part(offset, value, row) == value.index * self._n_rows + first + row).all()

    def write(self, offset: int, value: Value, first: int, n: int) -> None:
        for row in range(n):
            self._part(offset, value, row)[:] = value.index * self._n_rows + first + row


def run(stretches: list[Stretch], places: Places, n_rows: int, n_block: int) -> None:
    """As a plan would, an operation on all rows of its block after the other."""
    memory = Bytes(places, n_rows)
    for number, stretch in enumerate(stretches):
        step = n_block if stretch.in_blocks else n_rows
        for first in range(0, n_rows, step):
            n = min(step, n_rows - first)
            offsets = places.offsets(number, rows(first))
            for node in stretch.nodes:
                for value in node.inputs:
                    memory.check(offsets[value.index], value, first, n)
                memory.write(offsets[node.output.index], node.output, first, n)
    result = stretches[-1].nodes[-1].output
    if not stretches[-1].in_blocks:
        memory.check(places.offsets(len(stretches) - 1, rows(0))[result.index], result, 0, n_rows)


@settings(max_examples=300, deadline=None)
@given(graph=graphs(), n_rows=st.integers(1, 9), n_block=st.integers(1, 9))
def test_every_row_is_there_until_it_is_read_for_the_last_time(graph: Graph, n_rows: int, n_block: int) -> None:
    stretches = cut(graph.nodes, needs_all_rows)
    assert [node for stretch in stretches for node in stretch.nodes] == graph.nodes
    places = Places(stretches, rows(n_rows), rows(min(n_rows, n_block)))
    run(stretches, places, n_rows, n_block)


@settings(max_examples=100, deadline=None)
@given(graph=graphs())
def test_stretches_are_as_long_as_they_can_be(graph: Graph) -> None:
    stretches = cut(graph.nodes, needs_all_rows)
    assert all(stretch.in_blocks != needs_all_rows(node) for stretch in stretches for node in stretch.nodes)
    assert all(one.in_blocks + other.in_blocks < 2 for one, other in pairwise(stretches))
    assert all(len(stretch.nodes) == 1 for stretch in stretches if not stretch.in_blocks)


def test_what_one_stretch_knows_takes_room_for_a_block() -> None:
    graph = Graph()
    x = graph.embed(FakeWeight(9, 16))
    for _ in range(5):
        wide = graph.linear(graph.rms_norm(x, FakeWeight(1, 16), 1e-5), FakeWeight(4096, 16))
        x = graph.linear(wide, FakeWeight(16, 4096))
        x = graph.attention(x, x, x, layer=0, n_heads=1, scale=1.0, n_columns=16)
    stretches = cut(graph.nodes, needs_all_rows)
    places = Places(stretches, rows(1000), rows(2))
    # A value before and one behind attention, each with all rows; of the others two rows.
    assert 2 * 1000 * 64 <= places.n_bytes <= 2 * 1000 * 64 + 2 * (4096 + 2 * 16) * 4 + 3 * ALIGNMENT
