"""From the options of a grammar to what binds the answers."""

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pyggml.cli.grammar_options import GrammarOptions
from pyggml.cli.prompts import choose_text
from pyggml.errors import MissingExtraError, UsageError
from pyggml.tokenizer import Tokenizer

if TYPE_CHECKING:
    from pyggml.grammar import GrammarConstraint


class Structure:
    """What each answer has to obey, if anything."""

    def __init__(self, options: GrammarOptions) -> None:
        """Read the texts. Raises UsageError, MissingExtraError."""
        self._grammar = choose_text("--grammar", options.grammar, "--grammar-file", options.grammar_file)
        schema = choose_text("--json-schema", options.json_schema, "--json-schema-file", options.json_schema_file)
        self._schema = None if schema is None else _loaded(schema)
        if self._grammar is not None and self._schema is not None:
            raise UsageError("a grammar and a JSON schema cannot be followed at once: give one of them")
        has_any = self._grammar is not None or self._schema is not None
        if has_any and find_spec("llguidance") is None:
            raise MissingExtraError(
                'grammars and JSON schemas need llguidance: install it with pip install "pyggml[grammar]"'
            )

    def constraint(self, tokenizer: Tokenizer) -> "GrammarConstraint | None":
        """What binds the answers, if anything does. Raises GrammarError for what cannot be enforced."""
        if self._grammar is None and self._schema is None:
            return None
        # Imported here, as llguidance may be missing.
        from pyggml.grammar import ANY_OBJECT, Grammars

        grammars = Grammars(tokenizer)
        if self._grammar is not None:
            return grammars.gbnf(self._grammar)
        return grammars.json(ANY_OBJECT if self._schema in (None, {}) else self._schema)


def _loaded(text: str) -> Any:
    """A schema as JSON has it."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the JSON schema is no JSON: {error}") from error
    if not isinstance(schema, dict | bool):
        raise UsageError(f"the JSON schema is of type {type(schema).__name__}; it has to be an object")
    return schema
