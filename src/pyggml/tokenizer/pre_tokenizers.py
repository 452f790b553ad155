"""Splitting a text into the words that byte-level BPE merges within.

The patterns are those of the published tokenizers; a text is split as by llama.cpp, whose classes of characters are in
`unicode_tables`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from pyggml.tokenizer import unicode_tables

# {L} letters, {N} numbers, {P} punctuation, {S} white space: the insides of [...].
_LLAMA3 = (
    r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n{L}{N}]?[{L}]+|[{N}]{{1,3}}| ?[^{S}{L}{N}]+[\r\n]*"
    r"|[{S}]*[\r\n]+|[{S}]+(?![^{S}])|[{S}]+"
)
_QWEN2 = _LLAMA3.replace("{{1,3}}", "")
_GPT2 = r"'(?:[stmd]|re|ve|ll)| ?[{L}]+| ?[{N}]+| ?[^{S}{L}{N}]+|[{S}]+(?![^{S}])|[{S}]+"
_DIGITS_APART = r"[{N}]|[^{N}]+"
_NUMBERS_APART = r"[{N}]+|[^{N}]+"
_PUNCTUATION_APART = r"[{P}$+<=>^~|]+|[^{P}$+<=>^~|]+"
_THREE_DIGITS_APART = r"[0-9]{{3}}|(?:(?![0-9]{{3}})[\s\S])+"

_BEYOND_BASIC = re.compile("[\U00010000-\U0010ffff]")


class Splitter:
    """Cuts a text into words with patterns that leave nothing out, each cutting the pieces of the one before."""

    def __init__(self, templates: tuple[str, ...]) -> None:
        """Keep the patterns, with {L}, {N}, {P} and {S} for the classes; they are compiled when first used."""
        self._templates = templates

    def split(self, text: str) -> list[str]:
        """The words of a text, in order; together they are the text."""
        # Characters beyond the first plane make the classes long lists, which slows every other character down sixfold.
        patterns = self._all_planes if _BEYOND_BASIC.search(text) else self._basic_plane
        words = patterns[0].findall(text)
        for pattern in patterns[1:]:
            words = [part for word in words for part in pattern.findall(word)]
        return words

    @cached_property
    def _basic_plane(self) -> tuple[re.Pattern[str], ...]:
        return self._compiled(unicode_tables.LAST_BASIC)

    @cached_property
    def _all_planes(self) -> tuple[re.Pattern[str], ...]:
        return self._compiled(unicode_tables.LAST)

    def _compiled(self, last_code_point: int) -> tuple[re.Pattern[str], ...]:
        classes = {
            letter: unicode_tables.regular_expression_class(table, last_code_point)
            for letter, table in (
                ("L", unicode_tables.LETTERS),
                ("N", unicode_tables.NUMBERS),
                ("P", unicode_tables.PUNCTUATION),
                ("S", unicode_tables.WHITE_SPACE),
            )
        }
        return tuple(re.compile(template.format(**classes)) for template in self._templates)


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """What the metadata value `tokenizer.ggml.pre` decides.

    - `templates`: the patterns of its Splitter.
    - `ignore_merges`: whether a word that is a token is that token, whatever its merges give.
    - `add_bos`: whether BOS is added unless the file says otherwise.
    - `clean_spaces`: whether detokenizing removes the spaces before punctuation and contractions.
    - `has_default_bos`: whether there is a BOS token when the file names none.
    """

    templates: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False
    clean_spaces: bool = True
    has_default_bos: bool = True


def _by_name(*families: tuple[str, PreTokenizer]) -> Mapping[str, PreTokenizer]:
    return MappingProxyType({name: family for names, family in families for name in names.split()})


PRE_TOKENIZERS: Mapping[str, PreTokenizer] = _by_name(
    ("default", PreTokenizer((_PUNCTUATION_APART, _GPT2, _NUMBERS_APART, _THREE_DIGITS_APART))),
    (
        "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
        PreTokenizer((_LLAMA3,), ignore_merges=True, add_bos=True),
    ),
    ("dbrx smaug-bpe", PreTokenizer((_LLAMA3,))),
    ("chatglm-bpe", PreTokenizer((_LLAMA3,), has_default_bos=False)),
    ("glm4 glm5", PreTokenizer((_LLAMA3,), ignore_merges=True, has_default_bos=False)),
    (
        "qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2",
        PreTokenizer((_QWEN2,), clean_spaces=False),
    ),
    ("megrez stablelm2", PreTokenizer((_QWEN2,))),
    (
        "gpt-2 phi-2 jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe gigachat a.x-4.0 mellum "
        "modern-bert exaone4 mpt olmo jais",
        PreTokenizer((_GPT2,)),
    ),
    ("trillion granite-docling", PreTokenizer((_GPT2,), clean_spaces=False)),
    ("starcoder refact codeshell exaone minerva-7b mellum2", PreTokenizer((_DIGITS_APART, _GPT2))),
    ("command-r smollm", PreTokenizer((_DIGITS_APART, _GPT2), clean_spaces=False)),
)
"""The supported pre-tokenizers, by the names that files give them."""
