"""What kind of token each token is."""

from collections.abc import Iterable, Mapping
from enum import IntFlag


class TokenAttribute(IntFlag):
    """The properties of a token, with the values of llama.cpp's `llama_token_attr`."""

    UNDEFINED = 0
    UNKNOWN = 1 << 0
    UNUSED = 1 << 1
    NORMAL = 1 << 2
    CONTROL = 1 << 3
    USER_DEFINED = 1 << 4
    BYTE = 1 << 5
    NORMALIZED = 1 << 6
    LSTRIP = 1 << 7
    RSTRIP = 1 << 8
    SINGLE_WORD = 1 << 9


HIDDEN = TokenAttribute.CONTROL | TokenAttribute.UNKNOWN
"""Tokens with one of these are neither found in texts nor shown unless that is asked for."""

_BY_TYPE: Mapping[int, TokenAttribute] = {
    1: TokenAttribute.NORMAL,
    2: TokenAttribute.UNKNOWN,
    3: TokenAttribute.CONTROL,
    4: TokenAttribute.USER_DEFINED,
    5: TokenAttribute.UNUSED,
    6: TokenAttribute.BYTE,
}
_ALWAYS_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")


def attributes_by_type(types: Iterable[int]) -> list[TokenAttribute]:
    """The attribute of every token, from the numbers in the metadata array `tokenizer.ggml.token_type`."""
    return [_BY_TYPE.get(number, TokenAttribute.UNDEFINED) for number in types]


def correct_attributes(
    attributes: list[TokenAttribute],
    ids: Mapping[str, int],
    *,
    recognized: Iterable[int],
    ending: Iterable[int],
    taken_out: Iterable[int],
) -> None:
    """Change the attributes of tokens whose text or role says more than their type, in place.

    `recognized` are tokens with a role that is known from their text alone, `ending` those whose text says that they
    end a generation, `taken_out` those which then do not, see `special_tokens.end_of_generation_tokens`.
    """
    for token in recognized:
        attributes[token] |= TokenAttribute.CONTROL
    for text, token in ids.items():
        if "unused" in text and attributes[token] & TokenAttribute.CONTROL:
            attributes[token] |= TokenAttribute.UNUSED
    for token in ending:
        attributes[token] |= TokenAttribute.CONTROL
    for text in _ALWAYS_SHOWN:
        if text in ids:
            attributes[ids[text]] = TokenAttribute.USER_DEFINED
    for token in taken_out:
        is_piece = token == ids.get("</s>")
        attributes[token] = TokenAttribute.NORMAL if is_piece else TokenAttribute.USER_DEFINED


def tokens_to_look_for(attributes: Iterable[TokenAttribute]) -> list[int]:
    """The tokens that are looked for in a text before anything else is done with it."""
    special = HIDDEN | TokenAttribute.USER_DEFINED
    return [
        token
        for token, attribute in enumerate(attributes)
        if attribute is not TokenAttribute.NORMAL and attribute & special
    ]


def add_stripping(
    attributes: list[TokenAttribute], ids: Mapping[str, int], *, model_name: str, pre_tokenizer: str, architecture: str
) -> None:
    """Mark the special tokens that swallow white space beside them, in place.

    Files do not say which they are; the models for which it is known are recognized by their names.
    """
    name = model_name.lower()
    if any(part in pre_tokenizer for part in ("jina-v2-de", "jina-v2-es", "jina-v2-code")) or any(
        part in architecture for part in ("nomic-bert-moe", "jina-bert-v3")
    ):
        _add(attributes, ids, "<mask>", TokenAttribute.LSTRIP)
    elif "phi-3" in name or "phi3" in name:
        for token in tokens_to_look_for(attributes):
            attributes[token] |= TokenAttribute.RSTRIP
        _add(attributes, ids, "</s>", TokenAttribute.RSTRIP)
        for text in ("<unk>", "<s>", "<|endoftext|>"):
            if text in ids:
                attributes[ids[text]] &= ~TokenAttribute.RSTRIP
    elif "modern-bert" in name:
        _add(attributes, ids, "[MASK]", TokenAttribute.LSTRIP)


def _add(attributes: list[TokenAttribute], ids: Mapping[str, int], text: str, attribute: TokenAttribute) -> None:
    if text in ids:
        attributes[ids[text]] |= attribute
