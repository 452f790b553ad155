"""Text out of tokens that arrive one by one."""

import codecs

from pyggml.tokenizer.tokenizer import Tokenizer


class TextStream:
    """The pieces of tokens as text, each as soon as it is complete.

    A character may be spread over several tokens: its bytes are held back until all are there. All that `push` and
    `finish` give is, joined, the pieces of the tokens, joined and decoded, with U+FFFD for what is not UTF-8. That is
    what `detokenize` gives, except that it treats a whole text: for some vocabularies it drops a leading space, or
    spaces before punctuation.
    """

    def __init__(self, tokenizer: Tokenizer, special: bool = False) -> None:
        """Begin a text; `special` shows control tokens."""
        self._tokenizer = tokenizer
        self._special = special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text that the token completes; may be empty.

        Raises TokenizerError if the id is outside of the vocabulary.
        """
        return self._decoder.decode(self._tokenizer.piece(token, special=self._special))

    def finish(self) -> str:
        """What was held back, as U+FFFD; the stream can then begin anew."""
        return self._decoder.decode(b"", final=True)
