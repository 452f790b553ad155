"""Grammars for the tokens of one model."""

from collections.abc import Sequence
from functools import cached_property
from threading import Lock

from llguidance import LLMatcher, LLTokenizer

from pyggml.errors import GrammarError
from pyggml.grammar.constraint import GrammarConstraint, first_line
from pyggml.grammar.gbnf import read_gbnf
from pyggml.grammar.lark import to_lark
from pyggml.grammar.schema import Schema, json_grammar
from pyggml.grammar.tools import ToolSchema, tool_grammar
from pyggml.grammar.vocabulary import grammar_vocabulary
from pyggml.tokenizer import Tokenizer

_LLGUIDANCE = "%llguidance"


class Grammars:
    """Makes constraints; any thread may ask. What is common to all of them is prepared with the first."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._lock = Lock()

    def gbnf(self, text: str) -> GrammarConstraint:
        """By a grammar in GBNF, or, if it begins with %llguidance, in llguidance's own notation.

        Raises GrammarError if it cannot be read or enforced.
        """
        if text.startswith(_LLGUIDANCE):
            return self._constraint("the grammar", text)
        try:
            lark = to_lark(read_gbnf(text, self._token_of))
        except RecursionError as error:
            raise GrammarError("the grammar is nested too deeply") from error
        return self._constraint("the grammar", lark)

    def json(self, schema: Schema) -> GrammarConstraint:
        """By a JSON schema. Raises GrammarError if any part of it cannot be enforced."""
        return self._constraint("the JSON schema", f"start: %json {json_grammar(schema)}")

    def tools(
        self, tools: Sequence[ToolSchema], *, required: bool, parallel: bool, content: Schema | None = None
    ) -> GrammarConstraint:
        """Text with calls of these tools, or calls alone if they are required; one at most unless `parallel`.

        With `content`, what is no call obeys that schema. Raises GrammarError if any schema cannot be enforced.
        """
        for tool in tools:
            self._constraint(f"the parameters of tool {tool.name!r}", f"start: %json {json_grammar(tool.parameters)}")
        lark = tool_grammar(tools, required=required, parallel=parallel, content=content)
        return self._constraint("the JSON schema beside tools", lark)

    @cached_property
    def _vocabulary(self) -> LLTokenizer:
        return grammar_vocabulary(self._tokenizer)

    def _constraint(self, what: str, lark: str) -> GrammarConstraint:
        with self._lock:
            vocabulary = self._vocabulary
        matcher = LLMatcher(vocabulary, lark, log_level=0)
        if matcher.is_error():
            raise GrammarError(f"{what} cannot be enforced: {first_line(matcher.get_error())}")
        return GrammarConstraint(matcher, sorted(self._tokenizer.end_of_generation))

    def _token_of(self, text: str) -> int | None:
        tokens = self._tokenizer.tokenize(text, add_special=False, parse_special=True)
        return tokens[0] if len(tokens) == 1 else None
