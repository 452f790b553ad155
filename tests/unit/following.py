"""Texts against grammars, with the vocabulary of the model inside the package."""

from functools import cache

import pyggml
from pyggml.gguf import GGUFFile
from pyggml.grammar import GrammarConstraint, Grammars
from pyggml.tokenizer import Tokenizer, load_tokenizer


@cache
def demo_tokenizer() -> Tokenizer:
    return load_tokenizer(GGUFFile.open(pyggml.demo_model()))


@cache
def demo_grammars() -> Grammars:
    return Grammars(demo_tokenizer())


def follows(constraint: GrammarConstraint, text: str | list[int]) -> bool:
    """Whether a text, or its tokens, may be the whole answer."""
    tokenizer = demo_tokenizer()
    tokens = tokenizer.tokenize(text, add_special=False) if isinstance(text, str) else text
    constraint.reset()
    for token in tokens:
        if not constraint.allows(token):
            return False
        constraint.accept(token)
    assert tokenizer.eos is not None
    return constraint.allows(tokenizer.eos)
