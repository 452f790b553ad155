"""Where values lie: those that live at the same time never share bytes, those that take over an input's memory do."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.arena import ALIGNMENT, last_uses, lay_out
from pyggml.backend.graph import Graph, Node, Rope, Rows, Value

ROPE = Rope(4, True, 0.1, 1.0, 0.0, 1.0, (0.0, 0.0), np.ones(4, np.float32))


@dataclass(frozen=True)
class FakeWeight:
    n_rows: int
    n_columns: int


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any graph: values are read once or often, late or never; some are overwritten and not read again."""
    graph = Graph()
    usable = [graph.embed(FakeWeight(9, 16)), graph.rope_angles(ROPE)]
    for _ in range(draw(st.integers(0, 15))):
        x = draw(st.sampled_from(usable))
        alike = [each for each in usable if (each.rows, each.row_bytes) == (x.rows, x.row_bytes)]
        kind = draw(st.sampled_from(["embed", "linear", "norm", "add", "rotate", "attention", "select"]))
        if kind == "embed":
            usable.append(graph.embed(FakeWeight(9, draw(st.integers(1, 40)))))
        elif kind == "linear":
            usable.append(graph.linear(x, FakeWeight(draw(st.integers(1, 40)), x.n_columns)))
        elif kind == "norm":
            usable.append(graph.rms_norm(x, FakeWeight(1, x.n_columns), 1e-5))
        elif kind == "add":
            usable.append(graph.add(x, draw(st.sampled_from(alike))))
        elif kind == "rotate":
            usable.append(graph.rotate(x, draw(st.sampled_from(usable)), ROPE, 1))
            usable.remove(x)
        elif kind == "attention":
            keys, values = draw(st.sampled_from(usable)), draw(st.sampled_from(usable))
            usable.append(graph.attention(x, keys, values, layer=0, n_heads=1, scale=1.0, n_columns=7))
        elif x.rows == "tokens":
            usable.append(graph.select_outputs(x))
        if not usable:
            usable.append(graph.embed(FakeWeight(9, 3)))
    return graph


def lifetimes(nodes: Sequence[Node]) -> dict[int, tuple[int, int]]:
    """The first and last position at which each value is needed, found without `last_uses`."""
    result = {}
    for position, node in enumerate(nodes):
        readers = [other for other, reader in enumerate(nodes) if node.output in reader.inputs]
        end = len(nodes) if position == len(nodes) - 1 else max([position, *readers])
        result[node.output.index] = (position, end)
    return result


def same_memory(nodes: Sequence[Node]) -> dict[int, int]:
    """For each value the first value of the chain of overwritten inputs that it is in."""
    root = {node.output.index: node.output.index for node in nodes}
    for node in nodes:
        if node.overwrites is not None:
            root[node.output.index] = root[node.overwrites.index]
    return root


@settings(max_examples=300, deadline=None)
@given(graph=graphs(), n_tokens=st.integers(1, 9), n_outputs=st.integers(0, 9))
def test_values_alive_at_the_same_time_do_not_overlap(graph: Graph, n_tokens: int, n_outputs: int) -> None:
    nodes = graph.nodes
    n_rows: dict[Rows, int] = {"tokens": n_tokens, "outputs": n_outputs}
    offsets, n_bytes = lay_out(nodes, n_rows)
    alive, root = lifetimes(nodes), same_memory(nodes)
    assert last_uses(nodes) == {index: end for index, (_, end) in alive.items()}
    values = {node.output.index: node.output for node in nodes}

    def end(value: Value) -> int:
        return offsets[value.index] + value.row_bytes * n_rows[value.rows]

    for value in values.values():
        assert offsets[value.index] >= 0
        assert offsets[value.index] % ALIGNMENT == 0
        assert end(value) <= n_bytes
        assert offsets[value.index] == offsets[root[value.index]]
    for one, other in combinations(values.values(), 2):
        together = alive[one.index][0] <= alive[other.index][1] and alive[other.index][0] <= alive[one.index][1]
        if together and root[one.index] != root[other.index]:
            apart = end(one) <= offsets[other.index] or end(other) <= offsets[one.index]
            assert apart or min(end(one) - offsets[one.index], end(other) - offsets[other.index]) == 0


def test_memory_is_used_again() -> None:
    graph = Graph()
    x = graph.embed(FakeWeight(9, 16))
    for _ in range(50):
        x = graph.rms_norm(x, FakeWeight(1, 16), 1e-5)
    offsets, n_bytes = lay_out(graph.nodes, {"tokens": 4, "outputs": 1})
    assert n_bytes == 2 * 4 * 64
    assert set(offsets.values()) == {0, 256}


def test_a_value_overwritten_in_place_has_its_inputs_offset() -> None:
    graph = Graph()
    x = graph.embed(FakeWeight(9, 16))
    angles = graph.rope_angles(ROPE)
    rotated = graph.rotate(x, angles, ROPE, 1)
    graph.add(rotated, rotated)
    offsets, _ = lay_out(graph.nodes, {"tokens": 3, "outputs": 1})
    assert offsets[rotated.index] == offsets[x.index] != offsets[angles.index]
