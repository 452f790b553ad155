"""A model's computation as data: what is computed from what, for any number of tokens and on no device in particular.

A model builds a graph once; a backend compiles it for each batch shape. Values are written once. `rows` says how many
rows a value has: one for each token of the batch, or one for each token whose output is wanted.
"""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pyggml.backend.protocol import Executable, Weight

Rows = Literal["tokens", "outputs"]


@dataclass(frozen=True)
class Value:
    """The result of one operation: rows of `row_bytes` bytes."""

    index: int
    rows: Rows
    row_bytes: int

    @property
    def n_columns(self) -> int:
        """Floats in a row."""
        return self.row_bytes // 4


@dataclass(frozen=True)
class Rope:
    """Rotary embedding's parameters: angles in float32, and where the two elements of a pair lie in a head."""

    n_pairs: int
    halves: bool
    """Pairs are (i, i + n_pairs), as in Qwen2; otherwise (2i, 2i + 1), as in Llama's GGUF files."""
    theta_scale: float
    """The ratio of one pair's angle to the pair's before."""
    frequency_scale: float
    extrapolation: float
    """1 with YaRN, else 0."""
    amplitude: float
    ramp: tuple[float, float]
    """First and last pair between which YaRN goes from extrapolated to interpolated angles."""
    factors: npt.NDArray[np.float32] = field(compare=False)
    """What each pair's angle is divided by, (n_pairs,)."""


@dataclass(frozen=True)
class Node:
    """One operation."""

    output: Value

    @cached_property
    def inputs(self) -> tuple[Value, ...]:
        """The values it reads: all of its fields that are values, or several values, but for the output."""
        found = [getattr(self, each.name) for each in fields(self) if each.name != "output"]
        values = [value for each in found for value in (each if isinstance(each, tuple) else (each,))]
        return tuple(value for value in values if isinstance(value, Value))

    @property
    def overwrites(self) -> Value | None:
        """The input whose memory the output takes over, if any."""
        return None


@dataclass(frozen=True)
class Embed(Node):
    """Rows of the embedding table for the batch's tokens."""

    table: Weight


@dataclass(frozen=True)
class Receive(Node):
    """Rows that another graph computed and that come with the step: what is behind a cut begins with it."""


@dataclass(frozen=True)
class Elsewhere(Node):
    """What another device computes: its graph receives the operands, in this order."""

    operands: tuple[Value, ...]
    executable: Executable = field(compare=False)


@dataclass(frozen=True)
class RopeAngles(Node):
    """Cosines and sines for the batch's positions."""

    rope: Rope


@dataclass(frozen=True)
class SectionRope:
    """Rotary embedding in which each section of the pairs turns by a position of its own; pairs are halves apart."""

    n_pairs: int
    theta_scale: float
    """The ratio of one pair's angle to the pair's before."""
    frequency_scale: float
    halves: ClassVar[bool] = True
    sections: tuple[tuple[int, int, int], ...]
    """Of each section the first pair, the end, and the pair whose angle is the position itself."""


@dataclass(frozen=True)
class PlaceGiven(Node):
    """Rows given with the batch, such as those of a picture, in place of some tokens' embeddings."""

    x: Value

    @property
    def overwrites(self) -> Value | None:
        """The other rows stay."""
        return self.x


@dataclass(frozen=True)
class SectionAngles(Node):
    """Cosines and sines for the batch's positions, one for each section."""

    rope: SectionRope


@dataclass(frozen=True)
class RMSNorm(Node):
    """Root mean square normalization times a weight."""

    x: Value
    weight: Weight
    epsilon: float


@dataclass(frozen=True)
class Linear(Node):
    """x times the transposed weight, plus a bias."""

    x: Value
    weight: Weight
    bias: Weight | None


@dataclass(frozen=True)
class Rotate(Node):
    """Rotary embedding of every head."""

    x: Value
    angles: Value
    rope: Rope | SectionRope
    n_heads: int

    @property
    def overwrites(self) -> Value | None:
        """Pairs are turned in place."""
        return self.x


@dataclass(frozen=True)
class Attention(Node):
    """Keys and values go into the cache of a layer; queries attend to all positions up to their own."""

    queries: Value
    keys: Value
    values: Value
    layer: int
    n_heads: int
    scale: float


@dataclass(frozen=True)
class SwiGLU(Node):
    """silu(gate) * up."""

    gate: Value
    up: Value


@dataclass(frozen=True)
class Add(Node):
    """The sum of two values."""

    left: Value
    right: Value


@dataclass(frozen=True)
class SelectOutputs(Node):
    """The rows whose output is wanted."""

    x: Value


class Graph:
    """Operations in the order they are to run; each method appends one and returns its output."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        #: The index of the first value of each layer.
        self.layer_starts: list[int] = []

    @property
    def result(self) -> Value:
        """The output of the last operation."""
        return self.nodes[-1].output

    def _value(self, rows: Rows, n_columns: int) -> Value:
        return Value(len(self.nodes), rows, 4 * n_columns)

    def _append(self, node: Node) -> Value:
        self.nodes.append(node)
        return node.output

    def begin_layer(self) -> None:
        """What follows is the next layer, or the output behind the last one: devices may change here."""
        self.layer_starts.append(len(self.nodes))

    def embed(self, table: Weight) -> Value:
        """The embeddings of the batch's tokens."""
        return self._append(Embed(self._value("tokens", table.n_columns), table))

    def rope_angles(self, rope: Rope) -> Value:
        """The angles of the batch's positions, for `rotate`."""
        return self._append(RopeAngles(self._value("tokens", 2 * rope.n_pairs), rope))

    def place_given(self, x: Value) -> Value:
        """The rows that are given with the batch; `x` cannot be used afterwards."""
        return self._append(PlaceGiven(self._value(x.rows, x.n_columns), x))

    def section_angles(self, rope: SectionRope) -> Value:
        """The angles of the batch's positions by sections, for `rotate`."""
        return self._append(SectionAngles(self._value("tokens", 2 * rope.n_pairs), rope))

    def rms_norm(self, x: Value, weight: Weight, epsilon: float) -> Value:
        """Normalized rows."""
        return self._append(RMSNorm(self._value(x.rows, x.n_columns), x, weight, epsilon))

    def linear(self, x: Value, weight: Weight, bias: Weight | None = None) -> Value:
        """A matrix product."""
        return self._append(Linear(self._value(x.rows, weight.n_rows), x, weight, bias))

    def rotate(self, x: Value, angles: Value, rope: Rope | SectionRope, n_heads: int) -> Value:
        """Rotary embedding; `x` cannot be used afterwards."""
        return self._append(Rotate(self._value(x.rows, x.n_columns), x, angles, rope, n_heads))

    def attention(
        self, queries: Value, keys: Value, values: Value, *, layer: int, n_heads: int, scale: float, n_columns: int
    ) -> Value:
        """Attention over the cache; `n_columns` is the width of the result, n_heads * value size.

        Queries, keys and values cannot be used afterwards: a backend may transform them where they are.
        """
        value = self._value("tokens", n_columns)
        return self._append(Attention(value, queries, keys, values, layer, n_heads, scale))

    def swiglu(self, gate: Value, up: Value) -> Value:
        """The gated activation."""
        return self._append(SwiGLU(self._value(gate.rows, gate.n_columns), gate, up))

    def add(self, left: Value, right: Value) -> Value:
        """A sum."""
        return self._append(Add(self._value(left.rows, left.n_columns), left, right))

    def select_outputs(self, x: Value) -> Value:
        """The wanted rows only."""
        return self._append(SelectOutputs(self._value("outputs", x.n_columns), x))
