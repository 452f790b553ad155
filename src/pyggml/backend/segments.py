"""A graph cut between layers: each part is a graph of its own, which begins with the rows that end the one before."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from pyggml.backend.graph import Attention, Graph, Node, Receive, RopeAngles, Rotate, SectionAngles, Value


def cut(graph: Graph, first_layers: Sequence[int]) -> list[Graph]:
    """The parts of a graph that begin with these layers, 0 and others behind it; layers are counted anew in each.

    What comes before the first layer belongs to it. Parts at the end that have no operations are left out. TypeError
    if more than the last value of a part is needed behind it; the angles of rotary embedding are computed again.
    """
    parts = _parts(graph, first_layers)
    return [_part(parts, number, first_layers[number]) for number in range(len(parts))]


def _parts(graph: Graph, first_layers: Sequence[int]) -> list[list[Node]]:
    """The operations of each part."""
    begins = {graph.layer_starts[layer] for layer in first_layers[1:] if layer < len(graph.layer_starts)}
    parts: list[list[Node]] = [[]]
    for node in graph.nodes:
        if node.output.index in begins:
            parts.append([])
        parts[-1].append(node)
    return parts


def _part(parts: Sequence[Sequence[Node]], number: int, first_layer: int) -> Graph:
    earlier = [node for part in parts[:number] for node in part]
    received = outside(parts[number])
    last = earlier[-1].output if earlier else None
    if missing := [value.index for value in received if value != last]:
        raise TypeError(f"a graph is cut where value {min(missing)} is still needed behind the last one of a part")
    return extract(parts[number], [last] if last else [], earlier, -first_layer)


def outside(nodes: Sequence[Node]) -> list[Value]:
    """The values that operations read and that are computed by others: those that have to be given, in order."""
    known = {node.output for node in nodes}
    read = {value: None for node in nodes for value in node.inputs if value not in known}
    angles = {node.angles for node in nodes if isinstance(node, Rotate)}
    return [value for value in read if value not in angles]


def extract(nodes: Sequence[Node], received: Sequence[Value], earlier: Sequence[Node], layer_shift: int) -> Graph:
    """Some operations as a graph of its own, which begins with what it receives; `layer_shift` is added to its layers.

    Angles of rotary embedding are computed again, as `earlier` operations did.
    """
    known = {node.output for node in nodes}
    needed = {value for node in nodes for value in node.inputs if value not in known}
    angles = [each for each in earlier if isinstance(each, RopeAngles | SectionAngles) and each.output in needed]
    part, values = Graph(), dict[int, Value]()
    for node in (*map(Receive, received), *angles, *nodes):
        values[node.output.index] = replace(node.output, index=len(part.nodes))
        part.nodes.append(renumbered(node, values, layer_shift))
    return part


def renumbered(node: Node, values: Mapping[int, Value], layer_shift: int = 0) -> Node:
    """The operation on these values, by the index that each had."""
    if isinstance(node, Attention):
        node = replace(node, layer=node.layer + layer_shift)
    changes: dict[str, Any] = {}
    for each in fields(node):
        operand = getattr(node, each.name)
        if isinstance(operand, Value):
            changes[each.name] = values[operand.index]
        elif isinstance(operand, tuple):
            changes[each.name] = tuple(values[value.index] for value in operand)
    return replace(node, **changes)
