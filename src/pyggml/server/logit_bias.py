"""`logit_bias` as llama-server and OpenAI's API have it."""

import math
from typing import Annotated

from pydantic import Field

from pyggml.errors import UsageError
from pyggml.model import Model

Bias = bool | Annotated[float, Field(allow_inf_nan=True)]
Token = Annotated[int, Field(strict=True)] | str
BiasList = list[tuple[Token, Bias]]
BiasMap = dict[str, Bias]


def token_biases(model: Model, given: BiasList | BiasMap) -> dict[int, float]:
    """What is added to the logits of tokens; false forbids one. A text stands for each of its tokens.

    In an object, a name that is a whole number is a token. Raises UsageError for true, which means nothing.
    """
    pairs = given.items() if isinstance(given, dict) else given
    biases: dict[int, float] = {}
    for token, bias in pairs:
        if bias is True:
            raise UsageError(f"logit_bias of {token!r} is true; allowed are numbers, and false to forbid the token")
        is_number = isinstance(token, int) or (isinstance(given, dict) and token.isascii() and token.isdecimal())
        tokens = [int(token)] if is_number else model.tokenize(str(token), add_special=False)
        for each in tokens:
            biases[each] = biases.get(each, 0.0) + (-math.inf if bias is False else float(bias))
    return biases
