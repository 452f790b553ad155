"""What a grammar in GBNF consists of, once it is read."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Characters:
    """One character out of some ranges, or one out of none of them. Ranges include both ends."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False


@dataclass(frozen=True)
class TokenItem:
    """One token of the vocabulary, or any other one."""

    token: int
    negated: bool = False


@dataclass(frozen=True)
class Reference:
    """A rule, by its name."""

    name: str


@dataclass(frozen=True)
class Sequence:
    """One thing after the other; nothing at all if there are no items."""

    items: "tuple[Node, ...]"


@dataclass(frozen=True)
class Alternatives:
    """One of several."""

    options: "tuple[Node, ...]"


@dataclass(frozen=True)
class Repetition:
    """The same thing several times; `maximum` is None for no limit."""

    item: "Node"
    minimum: int
    maximum: int | None


Node: TypeAlias = Characters | TokenItem | Reference | Sequence | Alternatives | Repetition
