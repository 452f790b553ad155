"""Making the tokenizer that a GGUF file describes."""

import math
import re
from collections.abc import Mapping

import numpy as np

from pyggml.errors import TokenizerError
from pyggml.gguf.fields import Fields
from pyggml.tokenizer import attributes as token_attributes
from pyggml.tokenizer.attributes import TokenAttribute
from pyggml.tokenizer.byte_level import ByteLevelModel
from pyggml.tokenizer.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer
from pyggml.tokenizer.sentencepiece import SentencePieceModel
from pyggml.tokenizer.special_tokens import (
    END_OF_GENERATION_TEXTS,
    SpecialTokens,
    end_of_generation_tokens,
    named_special_tokens,
    recognized_special_tokens,
)
from pyggml.tokenizer.tokenizer import Tokenizer
from pyggml.tokenizer.vocabulary import TextOptions, Vocabulary

BYTE_LEVEL = "gpt2"
SENTENCEPIECE = "llama"

_BYTE_TOKEN = re.compile("<0x[0-9A-Fa-f]{2}>")


def load_tokenizer(file: Fields) -> Tokenizer:
    """The tokenizer of an open GGUF file.

    Raises GGUFError if a metadata value is missing or of the wrong kind, and TokenizerError if the values make no
    vocabulary: an unsupported kind, two tokens with one text, arrays that are too short, a byte token without a byte.
    """
    kind = file.require("tokenizer.ggml.model", str)
    if kind == BYTE_LEVEL:
        return _load_byte_level(file)
    if kind == SENTENCEPIECE:
        return _load_sentencepiece(file)
    raise TokenizerError(
        f"{file.path}: the tokenizer (tokenizer.ggml.model) is {kind!r}; supported are {BYTE_LEVEL!r} (byte-level BPE) "
        f"and {SENTENCEPIECE!r} (SentencePiece)"
    )


def _load_byte_level(file: Fields) -> Tokenizer:
    name = file.get("tokenizer.ggml.pre", str, "") or "default"
    pre_tokenizer = PRE_TOKENIZERS.get(name)
    if pre_tokenizer is None:
        raise TokenizerError(
            f"{file.path}: the pre-tokenizer (tokenizer.ggml.pre) is {name!r}; supported are "
            f"{', '.join(sorted(PRE_TOKENIZERS))}"
        )
    merges = file.require("tokenizer.ggml.merges", list[str])
    ids = _read_ids(file)
    model = ByteLevelModel(ids, merges, pre_tokenizer)
    newline = next(iter(model.encode("\n", follows_special=True)), None)
    vocabulary = _vocabulary(file, ids, _byte_level_defaults(pre_tokenizer), newline)
    return Tokenizer(
        vocabulary,
        model,
        TextOptions(
            add_bos=file.get("tokenizer.ggml.add_bos_token", bool, pre_tokenizer.add_bos),
            add_eos=file.get("tokenizer.ggml.add_eos_token", bool, False),
            add_space_prefix=file.get("tokenizer.ggml.add_space_prefix", bool, False),
            clean_spaces=pre_tokenizer.clean_spaces,
        ),
    )


def _byte_level_defaults(pre_tokenizer: PreTokenizer) -> SpecialTokens:
    return SpecialTokens(bos=11 if pre_tokenizer.has_default_bos else None, eos=11)


def _load_sentencepiece(file: Fields) -> Tokenizer:
    add_space_prefix = file.get("tokenizer.ggml.add_space_prefix", bool, True)
    ids = _read_ids(file)
    model = SentencePieceModel(ids, _read_scores(file, len(ids)), add_space_prefix=add_space_prefix)
    vocabulary = _vocabulary(file, ids, SpecialTokens(bos=1, eos=2, unk=0), model.byte_token(ord("\n")))
    return Tokenizer(
        vocabulary,
        model,
        TextOptions(
            add_bos=file.get("tokenizer.ggml.add_bos_token", bool, True),
            add_eos=file.get("tokenizer.ggml.add_eos_token", bool, False),
            add_space_prefix=add_space_prefix,
            clean_spaces=False,
        ),
    )


def _vocabulary(file: Fields, ids: Mapping[str, int], defaults: SpecialTokens, newline: int | None) -> Vocabulary:
    attributes = _read_attributes(file, len(ids))
    named = named_special_tokens(file, defaults, len(ids))
    special = recognized_special_tokens(named, ids)
    end_of_generation, taken_out = end_of_generation_tokens(special, ids)
    token_attributes.correct_attributes(
        attributes,
        ids,
        recognized=[
            token for role, token in special.by_role().items() if token is not None and named.by_role()[role] is None
        ],
        ending=[ids[text] for text in END_OF_GENERATION_TEXTS if text in ids],
        taken_out=taken_out,
    )
    looked_for = token_attributes.tokens_to_look_for(attributes)
    texts = tuple(ids)
    _check_byte_tokens(file, texts, attributes)
    token_attributes.add_stripping(
        attributes,
        ids,
        model_name=file.get("general.name", str, ""),
        pre_tokenizer=file.get("tokenizer.ggml.pre", str, ""),
        architecture=file.get("general.architecture", str, ""),
    )
    suppressed = file.get("tokenizer.ggml.suppress_tokens", list[int], [])
    return Vocabulary(
        texts=texts,
        ids=ids,
        attributes=tuple(attributes),
        special=special,
        end_of_generation=end_of_generation,
        looked_for=looked_for,
        suppressed=tuple(token for token in suppressed if 0 <= token < len(ids)),
        newline=newline,
    )


def _read_ids(file: Fields) -> dict[str, int]:
    """The id of every text, in the order of the ids."""
    key = "tokenizer.ggml.tokens"
    texts = [text or f"[EMPTY_{token}]" for token, text in enumerate(file.require(key, list[str]))]
    if not texts:
        raise TokenizerError(f"{file.path}: the vocabulary ({key}) has no tokens")
    ids: dict[str, int] = {}
    for token, text in enumerate(texts):
        first = ids.setdefault(text, token)
        if first != token:
            raise TokenizerError(f"{file.path}: tokens {first} and {token} of {key} have the same text {text!r}")
    return ids


def _read_scores(file: Fields, n_tokens: int) -> list[float]:
    key = "tokenizer.ggml.scores"
    scores: list[float] = file.get(key, list, [0.0] * n_tokens)
    if not {type(score) for score in scores} <= {int, float} or any(map(math.isnan, scores)):
        raise TokenizerError(f"{file.path}: {key} has elements that are no numbers")
    _check_length(file, key, len(scores), n_tokens)
    # Scores compare as floats of 32 bits, whatever the file stores.
    return [float(score) for score in np.array(scores[:n_tokens], np.float32)]


def _read_attributes(file: Fields, n_tokens: int) -> list[TokenAttribute]:
    key = "tokenizer.ggml.token_type"
    types = file.get(key, list[int], [1] * n_tokens)
    _check_length(file, key, len(types), n_tokens)
    return token_attributes.attributes_by_type(types[:n_tokens])


def _check_length(file: Fields, key: str, length: int, n_tokens: int) -> None:
    if length < n_tokens:
        raise TokenizerError(f"{file.path}: {key} has {length} elements, but there are {n_tokens} tokens")


def _check_byte_tokens(file: Fields, texts: tuple[str, ...], attributes: list[TokenAttribute]) -> None:
    for token, attribute in enumerate(attributes):
        if attribute is TokenAttribute.BYTE and not _BYTE_TOKEN.fullmatch(texts[token]):
            raise TokenizerError(
                f"{file.path}: token {token} is a byte token, but its text is {texts[token]!r}; allowed is <0xHH>"
            )
