"""Which pre-tokenizer a byte-level vocabulary has, by the name that GGUF files give it.

As in llama.cpp's converter, the ids of one text decide. A vocabulary that is not known so is recognized by what its
tokenizer.json says of splitting; llama.cpp's converter then gives up.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

from pyggml.convert.json_object import JsonObject
from pyggml.convert.known_tokenizers import CHECKED_TEXT, NAMES_BY_HASH
from pyggml.convert.tokenizer_files import TokenizerFiles
from pyggml.errors import CheckpointError, UsageError
from pyggml.tokenizer.byte_level import ByteLevelModel
from pyggml.tokenizer.pre_tokenizers import PRE_TOKENIZERS

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
    r"|\s+"
)
_QWEN2 = _LLAMA3.replace("{1,3}", "")
#: The names of the plainest pre-tokenizer for each way of splitting.
_NAMES_BY_STEPS: Mapping[tuple[str, ...], str] = {
    (f"Split {_LLAMA3}", "ByteLevel"): "smaug-bpe",
    (f"Split {_QWEN2}", "ByteLevel"): "qwen2",
    ("ByteLevel with its expression",): "gpt-2",
    ("Digits apart", "ByteLevel with its expression"): "smollm",
}


def pre_tokenizer_name(files: TokenizerFiles, ids: Mapping[str, int], merges: list[str], given: str | None) -> str:
    """The name; one that is `given` is taken as it is.

    Raises UsageError for a given name that is not supported, CheckpointError for a way of splitting that is not.
    """
    if given is not None:
        if given not in PRE_TOKENIZERS:
            raise UsageError(f"--pre-tokenizer {given!r} is unknown; allowed are {', '.join(sorted(PRE_TOKENIZERS))}")
        return given
    steps = tuple(_steps(files.tokenizer.inner("pre_tokenizer")))
    name = _NAMES_BY_STEPS.get(steps)
    if name is None:
        raise CheckpointError(
            f"{files.tokenizer.path}: the way of splitting texts (pre_tokenizer) is {list(steps)}; known here are "
            f"those of {', '.join(_NAMES_BY_STEPS.values())} and llama-bpe: name one that splits alike with "
            "--pre-tokenizer"
        )
    ignores_merges = files.model.get("ignore_merges", bool, False)
    pre_tokenizer = replace(PRE_TOKENIZERS[name], ignore_merges=ignores_merges)
    checked = ByteLevelModel(ids, merges, pre_tokenizer).encode(_normalized(files), follows_special=True)
    first, last = _surrounding(files)
    hashed = sha256(str([*first, *checked, *last]).encode()).hexdigest()
    plainest = "llama-bpe" if name == "smaug-bpe" and ignores_merges else name
    return NAMES_BY_HASH.get(hashed, plainest)


def _steps(pre_tokenizer: JsonObject) -> Iterator[str]:
    """What is done one after another, in words, with the expressions."""
    kind = pre_tokenizer.get("type", str, "nothing")
    if kind == "Sequence":
        for each in pre_tokenizer.objects("pretokenizers"):
            yield from _steps(each)
    elif kind == "Split":
        yield f"Split {pre_tokenizer.inner('pattern').get('Regex', str, '')}"
    elif kind == "ByteLevel":
        yield "ByteLevel with its expression" if pre_tokenizer.get("use_regex", bool, True) else "ByteLevel"
    elif kind == "Digits":
        yield "Digits apart" if pre_tokenizer.get("individual_digits", bool, False) else "Digits together"
    else:
        yield kind


def _normalized(files: TokenizerFiles) -> str:
    normalizer = files.tokenizer.inner("normalizer")
    forms = {each.get("type", str, "") for each in (normalizer, *normalizer.objects("normalizers"))}
    return unicodedata.normalize("NFC", CHECKED_TEXT) if "NFC" in forms else CHECKED_TEXT


def _surrounding(files: TokenizerFiles) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and behind every text."""
    first: list[int] = []
    last: list[int] = []
    processor = files.tokenizer.inner("post_processor")
    for each in processor.objects("processors") or [processor]:
        special, side = each.inner("special_tokens"), first
        for part in each.objects("single"):
            if "Sequence" in part.values:
                side = last
            elif text := part.inner("SpecialToken").get("id", str, ""):
                side += special.inner(text).list_of("ids", int)
    return first, last
