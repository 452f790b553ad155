"""The tokens with a role: which they are, and which of them end a generation.

Files name them by id in their metadata, not always completely; the rest is recognized by its text, as in llama.cpp.
Where several texts fit one role, the one listed first is taken.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from pyggml.gguf.fields import Fields


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The id of the token for each role, None where the vocabulary has none."""

    bos: int | None = None
    eos: int | None = None
    eot: int | None = None
    eom: int | None = None
    unk: int | None = None
    sep: int | None = None
    pad: int | None = None
    mask: int | None = None
    fim_prefix: int | None = None
    fim_suffix: int | None = None
    fim_middle: int | None = None
    fim_pad: int | None = None
    fim_repository: int | None = None
    fim_separator: int | None = None

    def by_role(self) -> dict[str, int | None]:
        """All roles with their tokens."""
        return asdict(self)


# The last three are older names; where both are given, the older one counts.
_KEYS = (
    ("bos", "bos_token_id"),
    ("eos", "eos_token_id"),
    ("eot", "eot_token_id"),
    ("eom", "eom_token_id"),
    ("unk", "unknown_token_id"),
    ("sep", "seperator_token_id"),
    ("pad", "padding_token_id"),
    ("mask", "mask_token_id"),
    ("fim_prefix", "fim_pre_token_id"),
    ("fim_suffix", "fim_suf_token_id"),
    ("fim_middle", "fim_mid_token_id"),
    ("fim_pad", "fim_pad_token_id"),
    ("fim_repository", "fim_rep_token_id"),
    ("fim_separator", "fim_sep_token_id"),
    ("fim_prefix", "prefix_token_id"),
    ("fim_suffix", "suffix_token_id"),
    ("fim_middle", "middle_token_id"),
)

TEXTS_BY_ROLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "eot": (
            *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>"),
            *("_<EOT>", "[EOT]", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<end_of_utterance>"),
        ),
        "eom": ("<|eom_id|>",),
        "fim_prefix": (
            *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim\u2581begin\uff5c>", "<PRE>", "▁<PRE>"),
            *("<|code_prefix|>", "<|prefix|>", "<|plamo:fim_prefix|>"),
        ),
        "fim_suffix": (
            *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim\u2581hole\uff5c>", "<SUF>", "▁<SUF>"),
            *("<|code_suffix|>", "<|suffix|>", "<|plamo:fim_suffix|>"),
        ),
        "fim_middle": (
            *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uff5cfim\u2581end\uff5c>", "<MID>", "▁<MID>"),
            *("<|code_middle|>", "<|middle|>", "<|plamo:fim_middle|>"),
        ),
        "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
        "fim_repository": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
        "fim_separator": ("<|file_sep|>", "<|plamo:file_separator|>"),
    }
)
"""What the token of a role is called in vocabularies whose files do not name it."""

END_OF_GENERATION_TEXTS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>"),
    *("<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>"),
    *(
        "<end_of_utterance>",
        "<eos>",
        "<turn|>",
        "<|tool_response>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "[e~[",
        "<|ifm|im_end|>",
    ),
)
"""Tokens with these texts end a generation, whatever the file says of them."""

_ROLES_THAT_END = ("fim_pad", "fim_repository", "fim_separator", "eos", "eot", "eom")


def named_special_tokens(file: Fields, defaults: SpecialTokens, n_tokens: int) -> SpecialTokens:
    """The roles that the metadata give, else the defaults; an id outside of the vocabulary counts as not given.

    Raises GGUFError if the metadata value of a role is no integer.
    """
    roles = defaults.by_role()
    for role, key in _KEYS:
        default = roles[role]
        if default is not None and default >= n_tokens:
            roles[role] = None
        token = file.get(f"tokenizer.ggml.{key}", int, None)
        if token is not None and 0 <= token < n_tokens:
            roles[role] = token
    return SpecialTokens(**roles)


def recognized_special_tokens(named: SpecialTokens, ids: Mapping[str, int]) -> SpecialTokens:
    """The roles with those filled in that no id was given for, but for which a token has a known text."""
    found = {}
    for role, texts in TEXTS_BY_ROLE.items():
        token = next((ids[text] for text in texts if text in ids), None)
        if getattr(named, role) is None and token is not None:
            found[role] = token
    return replace(named, **found)


def end_of_generation_tokens(special: SpecialTokens, ids: Mapping[str, int]) -> tuple[frozenset[int], frozenset[int]]:
    """The tokens that end a generation, and those that look like it but are taken out again.

    In vocabularies whose messages end with another token, `<|end|>` and `</s>` end something smaller.
    """
    ending = {ids[text] for text in END_OF_GENERATION_TEXTS if text in ids}
    ending |= {token for role, token in special.by_role().items() if role in _ROLES_THAT_END and token is not None}
    texts = {text for text in (*END_OF_GENERATION_TEXTS, "<|plamo:eos|>") if ids.get(text) in ending}
    taken_out = set()
    has_call = bool(texts & {"<|call|>", "<|calls|>"})
    if "<|end|>" in texts and has_call and texts & {"<|return|>", "<|flush|>"}:
        taken_out.add(ids["<|end|>"])
    if "</s>" in texts and texts & {"<|tool_response>", "<|plamo:eos|>"}:
        taken_out.add(ids["</s>"])
    return frozenset(ending - taken_out), frozenset(taken_out)
