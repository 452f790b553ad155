"""The jinja2 environment of chat templates: Hugging Face's helpers, a sandbox, and a bound on the work.

Templates come with model files, from strangers: they reach no Python internals, and one that loops or grows without
end is stopped.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError, TemplateRuntimeError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_STEPS = 1_000_000
MAX_CHARACTERS = 16 * 1024 * 1024
_MAX_EXPONENT = 64
_MAX_BITS = 1024
# No template can write names with a space, so none can call or replace these two.
_COUNTED, _MEASURED = "counted steps", "measured text"


class RefusalError(TemplateError):
    """A template's own `raise_exception(message)`."""


class BoundedContext(Context):
    """The state of one rendering; counts loop iterations and calls."""

    n_steps = 0

    def step(self) -> None:
        """Count one step; raise TemplateRuntimeError after MAX_STEPS."""
        self.n_steps += 1
        if self.n_steps > MAX_STEPS:
            raise TemplateRuntimeError(f"more than {MAX_STEPS:,} loop iterations and calls")


class GenerationBlock(Extension):
    """`{% generation %}...{% endgeneration %}`: marks the model's words for training; here just its body."""

    tags = {"generation"}  # noqa: RUF012 (declared as an instance attribute by jinja2)

    def parse(self, parser: Parser) -> nodes.Node:
        """Give the body in a scope of its own, as Hugging Face does."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Compiles chat templates the way `apply_chat_template` of Hugging Face transformers does."""

    intercepted_binops = frozenset({"+", "*", "**"})

    def __init__(self) -> None:
        """Register helpers and bounds."""
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, "jinja2.ext.loopcontrols"])
        self.context_class = BoundedContext
        self.filters |= {"tojson": to_json, _COUNTED: _counted, _MEASURED: _measured}
        self.globals |= {"raise_exception": raise_exception, "strftime_now": strftime_now}

    def compile_bounded(self, source: str) -> Any:
        """Compile a source whose loops count their steps and whose `~` measures its result."""
        tree = self.parse(source)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = _filtered(loop.iter, _COUNTED)
        for joined in list(tree.find_all(nodes.Concat)):
            joined.nodes = [_filtered(nodes.Concat(joined.nodes, lineno=joined.lineno), _MEASURED)]
        return self.from_string(tree)

    def call(self, context: Context, callee: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Count the call, then make it if the sandbox allows."""
        if isinstance(context, BoundedContext):
            context.step()
        return super().call(context, callee, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `+`, `*` and `**` unless the result would be huge."""
        if operator == "*":
            for text, count in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(count, int):
                    _check_length(len(text) * count)
        elif operator == "**" and abs(right) > _MAX_EXPONENT:
            raise TemplateRuntimeError(f"an exponent beyond {_MAX_EXPONENT}")
        return _measured(super().call_binop(context, operator, left, right))

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Refuse at once what jinja2 would only refuse when the value is used further."""
        raise SecurityError(f"access to attribute {attribute!r} of {type(obj).__name__!r} object is unsafe")


def raise_exception(message: str) -> NoReturn:
    """Let a template refuse a conversation."""
    raise RefusalError(message)


def strftime_now(pattern: str) -> str:
    """Give the local date and time in strftime's notation."""
    return datetime.now().strftime(pattern)


def to_json(
    x: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON without the HTML escapes of jinja2's own filter."""
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@pass_context
def _counted(context: BoundedContext, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        context.step()
        yield item


def _measured(value: Any) -> Any:
    if isinstance(value, str | list | tuple):
        _check_length(len(value))
    elif isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise TemplateRuntimeError(f"a number of more than {_MAX_BITS:,} bits")
    return value


def _check_length(n_characters: int) -> None:
    if n_characters > MAX_CHARACTERS:
        raise TemplateRuntimeError(f"a text of more than {MAX_CHARACTERS:,} characters")
