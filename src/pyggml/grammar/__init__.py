"""Answers that obey a grammar or a JSON schema.

llguidance, in the extra `grammar`, tells which tokens may come next; GBNF, llama.cpp's notation of grammars, is
translated for it here.
"""

from pyggml.grammar.constraint import GrammarConstraint
from pyggml.grammar.grammars import Grammars
from pyggml.grammar.schema import ANY_OBJECT, Schema
from pyggml.grammar.tools import ToolSchema

__all__ = ["ANY_OBJECT", "GrammarConstraint", "Grammars", "Schema", "ToolSchema"]
