"""The demo models' tokenizer, run by Hugging Face's library: the fastest for training data."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

TOKENIZER_FOLDER = Path(__file__).parent / "tokenizer"


class FastEncoder:
    """An `Encoder` for tokenizer.json of a folder."""

    def __init__(self, folder: Path = TOKENIZER_FOLDER) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text; control tokens are known by their names."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def token_id(self, name: str) -> int:
        """The id of a control token."""
        return int(self._tokenizer.token_to_id(name))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, control tokens by their names."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))
