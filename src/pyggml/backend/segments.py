"""A graph cut between layers: each part is a graph of its own, which begins with the rows that end the one before."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from pyggml.backend.graph import Attention, Graph, Node, Receive, RopeAngles, SectionAngles, Value


def cut(graph: Graph, first_layers: Sequence[int]) -> list[Graph]:
    """The parts of a graph that begin with these layers, 0 and others behind it; layers are counted anew in each.

    What comes before the first layer belongs to it. Parts at the end that have no operations are left out. TypeError
    if more than the last value of a part is needed behind it; the angles of rotary embedding are computed again.
    """
    parts = _parts(graph, first_layers)
    return [_part(parts, number, first_layers[number], graph.layer_starts) for number in range(len(parts))]


def _parts(graph: Graph, first_layers: Sequence[int]) -> list[list[Node]]:
    """The operations of each part."""
    begins = {graph.layer_starts[layer] for layer in first_layers[1:] if layer < len(graph.layer_starts)}
    parts: list[list[Node]] = [[]]
    for node in graph.nodes:
        if node.output.index in begins:
            parts.append([])
        parts[-1].append(node)
    return parts


def _part(parts: Sequence[Sequence[Node]], number: int, first_layer: int, layer_starts: Sequence[int]) -> Graph:
    own = {node.output.index for node in parts[number]}
    needed = {value.index for node in parts[number] for value in node.inputs} - own
    earlier = [node for part in parts[:number] for node in part]
    angles = [node for node in earlier if isinstance(node, RopeAngles | SectionAngles) and node.output.index in needed]
    received = [Receive(parts[number - 1][-1].output)] if number else []
    if missing := needed - {node.output.index for node in (*angles, *received)}:
        raise TypeError(f"a graph is cut where value {min(missing)} is still needed behind the last one of a part")
    part, values = Graph(), dict[int, Value]()
    for node in (*received, *angles, *parts[number]):
        values[node.output.index] = replace(node.output, index=len(part.nodes))
        part.nodes.append(_renumbered(node, values, first_layer))
    part.layer_starts = [values[start].index for start in layer_starts if start in own]
    return part


def _renumbered(node: Node, values: Mapping[int, Value], first_layer: int) -> Node:
    """The operation on the values of a part."""
    if isinstance(node, Attention):
        node = replace(node, layer=node.layer - first_layer)
    operands = ((each.name, getattr(node, each.name)) for each in fields(node))
    changes = {name: values[value.index] for name, value in operands if isinstance(value, Value)}
    return replace(node, **changes)
