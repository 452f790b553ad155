"""Operations of a graph that other devices compute: each group of them becomes a graph of its own inside the graph."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from pyggml.backend.graph import Add, Elsewhere, Graph, Node, SwiGLU, Value
from pyggml.backend.protocol import Backend, Executable
from pyggml.backend.segments import extract, outside, renumbered

#: Compiles a graph for a device.
Compile = Callable[[Backend, Graph], Executable]


def delegate(
    graph: Graph, place: Callable[[Node], Backend | None], compile_for: Compile, layer_shift: int = 0
) -> Graph:
    """The graph with an `Elsewhere` for operations whose `place` is another device; None for those that stay.

    What has no weights, and reads only what one such device computes, is computed there as well. `layer_shift` is added
    to the layers of delegated attention: its device may count them otherwise.
    """
    places = _places(graph.nodes, place)
    result, values = Graph(), dict[int, Value]()
    for _, run in groupby(range(len(graph.nodes)), key=lambda index: id(places[index])):
        indices = list(run)
        backend, nodes = places[indices[0]], [graph.nodes[index] for index in indices]
        groups = [[node] for node in nodes] if backend is None else _groups(nodes, graph)
        for group in groups:
            last = group[-1]
            if backend is not None:
                operands = outside(group)
                part = extract(group, operands, graph.nodes, layer_shift)
                last = Elsewhere(last.output, tuple(operands), compile_for(backend, part))
            values[last.output.index] = Value(len(result.nodes), last.output.rows, last.output.row_bytes)
            result.nodes.append(renumbered(last, values))
    return result


def _places(nodes: Sequence[Node], place: Callable[[Node], Backend | None]) -> list[Backend | None]:
    places: list[Backend | None] = []
    by_value: dict[Value, Backend | None] = {}
    for node in nodes:
        where = place(node)
        if isinstance(node, SwiGLU | Add):
            sources = {id(by_value[value]): by_value[value] for value in node.inputs}
            where = next(iter(sources.values())) if len(sources) == 1 else None
        by_value[node.output] = where
        places.append(where)
    return places


def _groups(nodes: Sequence[Node], graph: Graph) -> Iterator[Sequence[Node]]:
    """The operations cut into groups of which each has one result that others need, the last of its values."""
    start = 0
    while start < len(nodes):
        end = next(end for end in range(len(nodes), start, -1) if _has_one_result(nodes[start:end], graph))
        yield nodes[start:end]
        start = end


def _has_one_result(group: Sequence[Node], graph: Graph) -> bool:
    own = {node.output for node in group}
    needed = {value for node in graph.nodes if node.output not in own for value in node.inputs} | {graph.result}
    return own & needed <= {group[-1].output}
