"""GBNF's rules in llguidance's notation, a dialect of Lark's.

Every character is a lexeme of its own. llguidance's lexer takes the longest lexeme it can, where GBNF leaves the choice
open to the end; between single characters there is no such choice, so that the same texts are accepted.
"""

from collections.abc import Mapping

from pyggml.errors import GrammarError
from pyggml.grammar.notation import Alternatives, Characters, Node, Reference, Repetition, Sequence, TokenItem

_MOST_RULES = 1000
_ANY = r"/[\x{0}-\x{10FFFF}]/"
_NOTHING = '""'


def to_lark(rules: Mapping[str, Node]) -> str:
    """The whole grammar; raises GrammarError for one of too many rules and groups."""
    return _Writer(rules).write()


class _Writer:
    """Each group becomes a rule, as llguidance allows only few brackets inside each other."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self._names = {name: f"r{index}" for index, name in enumerate(rules)}
        self._lines = [f"start: {self._names['root']}"]
        self._n_rules = 0

    def write(self) -> str:
        """All lines."""
        for name, node in self._rules.items():
            self._add(self._names[name], node)
        return "\n".join(self._lines) + "\n"

    def _add(self, name: str, node: Node) -> None:
        self._n_rules += 1
        if self._n_rules > _MOST_RULES:
            raise GrammarError(f"the grammar has more than {_MOST_RULES} rules and groups; make it smaller")
        options = node.options if isinstance(node, Alternatives) else (node,)
        self._lines.append(f"{name}: " + " | ".join(self._sequence(option) for option in options))

    def _sequence(self, node: Node) -> str:
        items = node.items if isinstance(node, Sequence) else (node,)
        return " ".join(self._item(item) for item in items) or _NOTHING

    def _item(self, node: Node) -> str:
        if isinstance(node, Characters):
            return _characters(node)
        if isinstance(node, TokenItem):
            return f"<[{'^' if node.negated else ''}{node.token}]>"
        if isinstance(node, Reference):
            return self._names[node.name]
        if isinstance(node, Repetition):
            bounds = f"{node.minimum},{'' if node.maximum is None else node.maximum}"
            return _NOTHING if node.maximum == 0 else f"{self._group(node.item)}{{{bounds}}}"
        return self._group(node)

    def _group(self, node: Node) -> str:
        """Something that a repetition may follow."""
        if isinstance(node, Characters | TokenItem | Reference):
            return self._item(node)
        name = f"g{self._n_rules}"
        self._add(name, node)
        return name


def _characters(node: Characters) -> str:
    if not node.ranges:
        return _ANY
    inside = "".join(rf"\x{{{low:X}}}-\x{{{high:X}}}" for low, high in node.ranges)
    return f"/[{'^' if node.negated else ''}{inside}]/"
