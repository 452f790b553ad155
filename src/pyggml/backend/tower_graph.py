"""The operations of a vision tower beside those of a decoder. Its tokens are patches, its outputs merged patches."""

from dataclasses import dataclass
from typing import Literal

from pyggml.backend.graph import Graph, Node, Value
from pyggml.backend.protocol import Weight

GELUKind = Literal["tanh", "quick"]


@dataclass(frozen=True)
class Patches(Node):
    """The numbers of the picture's patches."""


@dataclass(frozen=True)
class LayerNorm(Node):
    """Normalization to mean 0 and variance 1, times a weight, plus a bias."""

    x: Value
    weight: Weight
    bias: Weight
    epsilon: float


@dataclass(frozen=True)
class GELU(Node):
    """The Gaussian error linear unit by one of its approximations."""

    x: Value
    kind: GELUKind

    @property
    def overwrites(self) -> Value | None:
        """It is the widest value of a tower: a second one would take as much memory as all others."""
        return self.x


@dataclass(frozen=True)
class PatchAttention(Node):
    """Every patch attends to all patches, or to all of its window."""

    queries: Value
    keys: Value
    values: Value
    n_heads: int
    scale: float
    in_windows: bool


@dataclass(frozen=True)
class Merge(Node):
    """Patches that follow each other as one wide row."""

    x: Value

    @property
    def overwrites(self) -> Value | None:
        """The numbers stay where they are."""
        return self.x


class TowerGraph(Graph):
    """A graph whose rows of tokens are patches, and whose rows of outputs are merged patches."""

    def patches(self, n_columns: int) -> Value:
        """The picture."""
        return self._append(Patches(self._value("tokens", n_columns)))

    def layer_norm(self, x: Value, weight: Weight, bias: Weight, epsilon: float) -> Value:
        """Normalized rows."""
        return self._append(LayerNorm(self._value(x.rows, x.n_columns), x, weight, bias, epsilon))

    def gelu(self, x: Value, kind: GELUKind) -> Value:
        """The activation; `x` cannot be used afterwards."""
        return self._append(GELU(self._value(x.rows, x.n_columns), x, kind))

    def patch_attention(
        self, queries: Value, keys: Value, values: Value, *, n_heads: int, scale: float, in_windows: bool
    ) -> Value:
        """Attention in both directions."""
        output = self._value("tokens", values.n_columns)
        return self._append(PatchAttention(output, queries, keys, values, n_heads, scale, in_windows))

    def merge(self, x: Value, n: int) -> Value:
        """Each `n` rows as one; `x` cannot be used afterwards."""
        return self._append(Merge(self._value("outputs", n * x.n_columns), x))
