"""The files that describe a tokenizer: tokenizer.json of the library tokenizers, and what transformers adds to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pyggml.convert.checkpoint import Checkpoint
from pyggml.convert.json_object import JsonObject, read_json_object, read_optional_object
from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted

#: Tokens that were added as ordinary ones, but are none.
_LOOK_SPECIAL = frozenset({"<pad>", "<mask>", "<2mass>", "[@BOS@]"})
_SPECIAL_ENDS = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))  # noqa: RUF001  # DeepSeek spells them so
MAX_TOKENS = 1 << 24


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in a text as it stands."""

    token: int
    text: str
    is_special: bool


class TokenizerFiles:
    """tokenizer.json, tokenizer_config.json and config.json of a checkpoint; the first two may be missing."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Use the folder of this checkpoint."""
        self.folder = checkpoint.folder
        self.model_config = checkpoint.config

    @property
    def sentencepiece_path(self) -> Path:
        """Where the vocabulary is if it is one of SentencePiece."""
        return self.folder / "tokenizer.model"

    @cached_property
    def tokenizer(self) -> JsonObject:
        """tokenizer.json. Raises CheckpointError if it is unsound; empty if it is missing."""
        return read_optional_object(self.folder / "tokenizer.json")

    @cached_property
    def config(self) -> JsonObject:
        """tokenizer_config.json, likewise."""
        return read_optional_object(self.folder / "tokenizer_config.json")

    @cached_property
    def model(self) -> JsonObject:
        """What tokenizer.json says of the vocabulary. Raises CheckpointError if the file is missing."""
        if not self.tokenizer.values:
            read_json_object(self.tokenizer.path)
        return self.tokenizer.inner("model")

    @cached_property
    def base_ids(self) -> Mapping[str, int]:
        """The ids of all tokens but those that were added. Raises CheckpointError for what is no id."""
        ids = self.model.require("vocab", dict)
        if not all(type(token) is int and 0 <= token < MAX_TOKENS for token in ids.values()):
            raise CheckpointError(
                f"{self.model.path}: the vocabulary (model.vocab) has ids that are none; allowed are integers from 0 "
                f"to {MAX_TOKENS - 1}"
            )
        return ids

    @cached_property
    def added(self) -> Mapping[str, AddedToken]:
        """The added tokens by their texts; those of tokenizer_config.json count if tokenizer.json lacks them."""
        tokens: dict[str, AddedToken] = {}
        for each in self.tokenizer.objects("added_tokens"):
            text = each.require("content", str)
            tokens[text] = AddedToken(_id(each), text, each.get("special", bool, False))
        for text, token in self.configured.items():
            tokens.setdefault(text, token)
        return tokens

    @cached_property
    def configured(self) -> Mapping[str, AddedToken]:
        """The added tokens of tokenizer_config.json by their texts, in its order."""
        decoder = self.config.inner("added_tokens_decoder")
        tokens: dict[str, AddedToken] = {}
        for number in decoder.values:
            if not number.isdecimal() or int(number) >= MAX_TOKENS:
                raise decoder.error(number, f"under a key that is an id, from 0 to {MAX_TOKENS - 1}")
            entry = decoder.inner(number)
            text = entry.require("content", str)
            tokens[text] = AddedToken(int(number), text, entry.get("special", bool, False))
        return tokens


def looks_special(text: str) -> bool:
    """Whether a token is none of a text's, judging by its looks."""
    return text in _LOOK_SPECIAL or any(text.startswith(first) and text.endswith(last) for first, last in _SPECIAL_ENDS)


def id_range_error(path: Path, text: str, token: int, n_vocab: int) -> CheckpointError:
    """What to raise for a token that config.json leaves no room for."""
    return CheckpointError(
        f"{path}: token {quoted(text)} has the id {token}; allowed are ids below {n_vocab}, the vocab_size "
        "in config.json"
    )


def _id(entry: JsonObject) -> int:
    return entry.require("id", int, low=0, high=MAX_TOKENS - 1)
