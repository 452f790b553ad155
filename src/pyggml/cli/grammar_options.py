"""What the answers have to obey: the options, and what they came to."""

from dataclasses import dataclass
from pathlib import Path

import click

from pyggml.cli.parameter_types import TEXT
from pyggml.cli.sections import Decorated, section


@dataclass(frozen=True)
class GrammarOptions:
    """A grammar or a JSON schema, as text or as a file."""

    grammar: str | None
    grammar_file: Path | None
    json_schema: str | None
    json_schema_file: Path | None


_option = section("Grammar")
_FILE = click.Path(path_type=Path)

_OPTIONS = (
    _option("grammar", "--grammar", metavar="GBNF", type=TEXT, help="Each answer obeys this grammar, given in GBNF."),
    _option("grammar_file", "--grammar-file", metavar="FILE", type=_FILE, help="Read the grammar from a file."),
    _option(
        "json_schema", "-j", "--json-schema", metavar="JSON", type=TEXT,
        help="Each answer is JSON that obeys this schema; {} for any object.",
    ),
    _option("json_schema_file", "-jf", "--json-schema-file", metavar="FILE", type=_FILE, help="Read it from a file."),
)  # fmt: skip


def grammar_options(function: Decorated) -> Decorated:
    """Add all of these options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
