"""The vocabulary of a checkpoint as the keys "tokenizer.*" of a GGUF file."""

import re
from collections.abc import Iterator, Sequence

from pyggml.convert.json_object import read_json_object
from pyggml.convert.pre_tokenizer import pre_tokenizer_name
from pyggml.convert.sentencepiece_file import read_pieces
from pyggml.convert.special_vocabulary import special_fields
from pyggml.convert.text_config import TextConfig
from pyggml.convert.tokenizer_files import TokenizerFiles, id_range_error, looks_special
from pyggml.errors import CheckpointError
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.values import FieldType, ValueType

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_SPACE = "\u2581"
_ADDED_SCORE, _PAD_SCORE = -1000.0, -10000.0
_BYTE_TOKEN = re.compile("<0x[0-9A-Fa-f]{2}>")
#: Code Llama and SmolLM are recognized by the sizes of their vocabularies.
_CODE_LLAMA_TOKENS, _SMOLLM_TOKENS = 32016, 49152
_CODE_LLAMA_KEYS = {"prefix": 32007, "suffix": 32008, "middle": 32009, "eot": 32010}


def vocabulary_fields(
    files: TokenizerFiles, config: TextConfig, pre_tokenizer: str | None
) -> Iterator[tuple[str, Field]]:
    """The keys in the order of llama.cpp's converter; `pre_tokenizer` is a name to take instead of recognizing one.

    Raises CheckpointError for vocabularies that are unsound or of another kind than BPE and SentencePiece.
    """
    is_llama = config.architecture == "llama"
    if is_llama and (prefix := files.config.get("add_prefix_space", bool, None)) is not None:
        yield "tokenizer.ggml.add_space_prefix", number_field(ValueType.BOOL, prefix)
    if files.sentencepiece_path.is_file():
        yield from _sentencepiece_fields(files, config.n_vocab)
    elif is_llama and _has_byte_fallback(files):
        yield from _byte_fallback_fields(files)
    else:
        yield from _byte_level_fields(files, config.n_vocab, pre_tokenizer)
    if is_llama and config.n_vocab == _CODE_LLAMA_TOKENS:
        for kind, token in _CODE_LLAMA_KEYS.items():
            yield f"tokenizer.ggml.{kind}_token_id", number_field(ValueType.UINT32, token)
    if is_llama and config.n_vocab == _SMOLLM_TOKENS:
        yield "tokenizer.ggml.add_bos_token", number_field(ValueType.BOOL, False)


def _byte_level_fields(files: TokenizerFiles, n_vocab: int, pre_tokenizer: str | None) -> Iterator[tuple[str, Field]]:
    kind = files.model.get("type", str, "")
    if kind != "BPE":
        raise CheckpointError(f"{files.model.path}: the vocabulary is of the kind {kind!r}; allowed is BPE")
    ids = {**files.base_ids, **{text: each.token for text, each in files.added.items()}}
    for text, token in ids.items():
        if token >= n_vocab:
            raise id_range_error(files.model.path, text, token, n_vocab)
    merges = _merges(files)
    texts = [f"[PAD{token}]" for token in range(n_vocab)]
    types = [_UNUSED] * n_vocab
    for text, token in ids.items():
        texts[token], types[token] = text, _NORMAL
        if text in files.added:
            texts[token], types[token] = _added(text, is_special=files.added[text].is_special)
    yield "tokenizer.ggml.model", string_field("gpt2")
    yield "tokenizer.ggml.pre", string_field(pre_tokenizer_name(files, ids, merges, pre_tokenizer))
    yield "tokenizer.ggml.tokens", _array(ValueType.STRING, texts)
    yield "tokenizer.ggml.token_type", _array(ValueType.INT32, types)
    if merges:
        yield "tokenizer.ggml.merges", _array(ValueType.STRING, merges)
    yield from special_fields(files)


def _merges(files: TokenizerFiles) -> list[str]:
    """The rules "left right"; newer files have pairs, whose spaces are spelled as the byte alphabet spells them."""
    rules = files.model.get("merges", list, [])
    merges: list[str] = []
    for each in rules:
        parts = each.split(" ") if isinstance(each, str) else each
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise CheckpointError(
                f"{files.model.path}: the merge rule {each!r} (model.merges) is none; allowed are two texts with a "
                "space between them, or an array of two"
            )
        merges.append(" ".join(part.replace(" ", "\u0120") for part in parts))
    return merges


def _sentencepiece_fields(files: TokenizerFiles, n_vocab: int) -> Iterator[tuple[str, Field]]:
    texts = [f"[PAD{token}]" for token in range(n_vocab)]
    scores = [_PAD_SCORE] * n_vocab
    types = [_UNUSED] * n_vocab
    for token, piece in enumerate(read_pieces(files.sentencepiece_path)[:n_vocab]):
        kind = _NORMAL if piece.type == _USER_DEFINED else piece.type
        texts[token], scores[token], types[token] = piece.text, piece.score, kind
    for text, token, kind in _added_later(files):
        if token < n_vocab:
            texts[token], scores[token], types[token] = text, _ADDED_SCORE, kind
    yield from _llama_fields(files, texts, scores, types)


def _added_later(files: TokenizerFiles) -> Iterator[tuple[str, int, int]]:
    """Text, id and type of each token that SentencePiece does not know."""
    path = files.folder / "added_tokens.json"
    if path.is_file():
        older = read_json_object(path)
        for text in older.values:
            yield text, older.require(text, int, low=0), _USER_DEFINED
    for each in files.configured.values():
        text, kind = _added(each.text, is_special=each.is_special)
        yield text, each.token, kind


def _has_byte_fallback(files: TokenizerFiles) -> bool:
    """Whether tokenizer.json holds what was a vocabulary of SentencePiece."""
    is_bpe = files.model.get("type", str, "") == "BPE" and files.model.get("byte_fallback", bool, False)
    return is_bpe and files.tokenizer.inner("decoder").get("type", str, "") == "Sequence"


def _byte_fallback_fields(files: TokenizerFiles) -> Iterator[tuple[str, Field]]:
    special = _named_special(files)
    by_id = {token: text for text, token in files.base_ids.items()}
    if sorted(by_id) != list(range(len(files.base_ids))):
        raise CheckpointError(
            f"{files.model.path}: the vocabulary (model.vocab) has ids that repeat, or leaves some out"
        )
    texts = [by_id[token] for token in range(len(by_id))]
    types = [_BYTE if _BYTE_TOKEN.fullmatch(text) else _CONTROL if text in special else _NORMAL for text in texts]
    for each in sorted(files.added.values(), key=lambda each: each.token):
        if each.token >= len(by_id):
            texts.append(each.text)
            types.append(_CONTROL if each.text in special else _USER_DEFINED)
    yield from _llama_fields(files, texts, [_ADDED_SCORE] * len(texts), types)


def _named_special(files: TokenizerFiles) -> set[str]:
    """The texts that tokenizer_config.json names for special tokens, by default those of Llama."""
    values = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **files.config.values}
    names = [f"{kind}_token" for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
    entries = [values.get(name) for name in names] + files.config.get("additional_special_tokens", list, [])
    texts = (each.get("content") if isinstance(each, dict) else each for each in entries)
    return {text for text in texts if isinstance(text, str)}


def _llama_fields(
    files: TokenizerFiles, texts: Sequence[str], scores: Sequence[float], types: Sequence[int]
) -> Iterator[tuple[str, Field]]:
    yield "tokenizer.ggml.model", string_field("llama")
    yield "tokenizer.ggml.pre", string_field("default")
    yield "tokenizer.ggml.tokens", _array(ValueType.STRING, texts)
    yield "tokenizer.ggml.scores", _array(ValueType.FLOAT32, scores)
    yield "tokenizer.ggml.token_type", _array(ValueType.INT32, types)
    yield from special_fields(files, len(texts))


def _added(text: str, *, is_special: bool) -> tuple[str, int]:
    """The text and the type of an added token; in one that belongs to texts spaces are spaces."""
    if is_special or looks_special(text):
        return text, _CONTROL
    return text.replace(_SPACE, " "), _USER_DEFINED


def _array(element: ValueType, values: Sequence[str] | Sequence[float]) -> Field:
    return Field(FieldType(ValueType.ARRAY, element), list(values))
