"""The tokens of a vocabulary and what is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyggml.tokenizer.attributes import TokenAttribute
from pyggml.tokenizer.special_tokens import SpecialTokens


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All tokens; what the metadata of a file say of them, completed by what their texts tell.

    - `texts`, `attributes`: of every token, by id. `ids`: the id of every text.
    - `special`: the tokens with a role. `end_of_generation`: those that end a generation.
    - `looked_for`: those that are found in a text before anything else is done with it.
    - `suppressed`: those that are never to be generated.
    - `newline`: the first token of a line feed.
    """

    texts: Sequence[str]
    ids: Mapping[str, int]
    attributes: Sequence[TokenAttribute]
    special: SpecialTokens
    end_of_generation: frozenset[int]
    looked_for: Sequence[int]
    suppressed: Sequence[int]
    newline: int | None


@dataclass(frozen=True, slots=True)
class TextOptions:
    """What is done at the ends of a text, and to the spaces in it.

    - `add_bos`, `add_eos`: whether a tokenized text gets BOS in front, EOS at the end.
    - `add_space_prefix`: whether detokenizing drops the space that the first token begins with.
    - `clean_spaces`: whether detokenizing removes the spaces before punctuation and contractions.
    """

    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    clean_spaces: bool
