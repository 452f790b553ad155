"""A vocabulary as llguidance reads it."""

from llguidance import LLTokenizer, TokenizerWrapper

from pyggml.tokenizer import TokenAttribute, Tokenizer

_HIDDEN = TokenAttribute.CONTROL | TokenAttribute.UNKNOWN
#: How llguidance tells a token that is no text.
_NO_TEXT = b"\xff"


def grammar_vocabulary(tokenizer: Tokenizer) -> LLTokenizer:
    """All tokens as bytes; control tokens are none that a grammar of characters can ask for.

    Takes about 2.5 s for 152,000 tokens.
    """
    ends = sorted(tokenizer.end_of_generation)
    return LLTokenizer(TokenizerWrapper(_Vocabulary(tokenizer, ends[0] if ends else 0)), eos_token=ends or None)


class _Vocabulary:
    """What `TokenizerWrapper` asks for."""

    bos_token_id: int | None = None

    def __init__(self, tokenizer: Tokenizer, eos: int) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = eos
        attributes = tokenizer.attributes
        self.special_token_ids = [token for token in range(tokenizer.n_tokens) if attributes[token] & _HIDDEN]
        self.tokens = [tokenizer.piece(token, special=True) for token in range(tokenizer.n_tokens)]
        for token in self.special_token_ids:
            self.tokens[token] = _NO_TEXT + self.tokens[token]

    def __call__(self, text: bytes) -> list[int]:
        """The tokens of a text."""
        return self._tokenizer.tokenize(text, add_special=False)
