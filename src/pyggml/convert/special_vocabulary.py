"""The special tokens of a checkpoint, which of them surround a text, and the chat template, as GGUF keeps them.

What tokenizer.json and tokenizer_config.json say overlaps and contradicts itself; here it is settled as llama.cpp's
converter does.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyggml.convert.json_object import JsonObject, read_json_object, read_text
from pyggml.convert.tokenizer_files import MAX_TOKENS, TokenizerFiles
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.values import FieldType, ValueType

_ID_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",
    "pad": "padding_token_id",
    "mask": "mask_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
}
_SURROUNDING = ("bos", "eos", "sep")
_TYPES = ("bos", "eos", "unk", "sep", "pad", "mask")
_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits)


@dataclass
class _Texts:
    """What tokenizer_config.json calls each special token, corrected by the template of tokenizer.json."""

    values: dict[str, Any]
    types: list[str] = field(default_factory=lambda: list(_TYPES))
    surrounding: dict[str, bool] = field(default_factory=dict)

    def get(self, kind: str) -> Any:
        return self.values.get(f"{kind}_token")

    def set(self, kind: str, text: Any) -> None:
        self.values[f"{kind}_token"] = text


def special_fields(files: TokenizerFiles, n_vocab: int | None = None) -> Iterator[tuple[str, Field]]:
    """The keys in the order of llama.cpp's converter; ids from `n_vocab` on are left out.

    Raises CheckpointError for values of another kind.
    """
    texts = _Texts(dict(files.config.values))
    if files.tokenizer.values:
        _settle(files.tokenizer, texts)
    for kind, token in _named_ids(files, texts, MAX_TOKENS if n_vocab is None else n_vocab).items():
        if kind in _ID_KEYS:
            yield f"tokenizer.ggml.{_ID_KEYS[kind]}", number_field(ValueType.UINT32, token)
    for kind, value in texts.surrounding.items():
        if kind in _SURROUNDING:
            yield f"tokenizer.ggml.add_{kind}_token", number_field(ValueType.BOOL, value)
    yield from _template_fields(files)


def _settle(tokenizer: JsonObject, texts: _Texts) -> None:
    for kind, other in (("bos", "cls"), ("eos", "sep")):
        if not texts.get(kind) and texts.get(other):
            texts.set(kind, texts.get(other))
    processor = tokenizer.inner("post_processor")
    for each in processor.objects("processors") or [processor]:
        kind = each.get("type", str, "")
        if kind == "ByteLevel":
            texts.surrounding.setdefault("bos", False)
            texts.surrounding.setdefault("eos", False)
        elif kind == "TemplateProcessing":
            _read_template(each, texts)


def _read_template(processor: JsonObject, texts: _Texts) -> None:
    single, pair = processor.objects("single"), processor.objects("pair")
    first = _special(single[0]) if len(single) > 1 else ""
    last = _special(single[-1]) if len(single) > 1 else ""
    if first:
        _settle_first(first, texts)
    if last:
        _settle_last(last, texts)
    start = 1 if first and pair and _special(pair[0]) == first else 0
    stop = len(pair) - 1 if last and pair and _special(pair[-1]) == last else len(pair)
    between = pair[start:stop]
    if len(between) > 2 and _sequence(between[0]) == "A" and _sequence(between[-1]) == "B":
        separators = [_special(each) for each in between[1:-1]]
        known = [text in (texts.get("sep"), texts.get("eos")) for text in separators]
        texts.surrounding["sep"] = (known[0] and not last) or (len(known) == 2 and known[1])
        if texts.surrounding["sep"] and not texts.get("sep"):
            texts.set("sep", texts.get("eos"))


def _settle_first(first: str, texts: _Texts) -> None:
    if first not in (texts.get("bos"), texts.get("cls")):
        for kind in ("bos", "cls"):
            if not texts.get(kind):
                texts.set(kind, first)
    texts.surrounding["bos"] = first in (texts.get("bos"), texts.get("cls"))


def _settle_last(last: str, texts: _Texts) -> None:
    """A text may end in another token than a turn: what was called the end is then that of a turn."""
    if last != texts.get("eos"):
        free = next((kind for kind in ("eot", "eom") if kind not in texts.types), None)
        if free:
            texts.types.append(free)
            texts.set(free, texts.get("eos"))
        texts.set("eos", last)
    texts.surrounding["eos"] = True


def _special(part: JsonObject) -> str:
    return part.inner("SpecialToken").get("id", str, "")


def _sequence(part: JsonObject) -> str:
    return part.inner("Sequence").get("id", str, "")


def _named_ids(files: TokenizerFiles, texts: _Texts, n_vocab: int) -> dict[str, int]:
    """The ids below `n_vocab` by kind: of the texts, which tokenizer.json added, else from config.json."""
    added: dict[str, int] = {}
    for each in files.tokenizer.objects("added_tokens"):
        added.setdefault(each.require("content", str), each.require("id", int, low=0))
    ids: dict[str, int] = {}
    for kind in texts.types if files.config.values else ():
        flag = texts.values.get(f"add_{kind}_token")
        if isinstance(flag, bool):
            texts.surrounding.setdefault(kind, flag)
        named = texts.get(kind)
        text = named.get("content") if isinstance(named, dict) else named
        if isinstance(text, str) and added.get(text, n_vocab) < n_vocab:
            ids[kind] = added[text]
    inner = files.model_config.inner("text_config")
    for kind in texts.types:
        for config in (files.model_config, inner):
            token = config.values.get(f"{kind}_token_id")
            if token is not None:
                break
        if type(token) is int and 0 <= token < n_vocab:
            ids.setdefault(kind, token)
    return ids


def _template_fields(files: TokenizerFiles) -> Iterator[tuple[str, Field]]:
    template = files.config.values.get("chat_template")
    if "chat_template" not in files.config.values and files.config.values:
        template = _separate_template(files)
    if isinstance(template, str) and template:
        yield "tokenizer.chat_template", string_field(template)
    elif isinstance(template, list):
        yield from _named_templates(files.config.objects("chat_template"))


def _separate_template(files: TokenizerFiles) -> str | None:
    """The template that newer checkpoints keep in a file of its own."""
    jinja, json = files.folder / "chat_template.jinja", files.folder / "chat_template.json"
    if jinja.is_file():
        return read_text(jinja)
    return read_json_object(json).get("chat_template", str, None) if json.is_file() else None


def _named_templates(templates: list[JsonObject]) -> Iterator[tuple[str, Field]]:
    names: list[str] = []
    default = ""
    for each in templates:
        given, template = each.require("name", str), each.require("template", str)
        name = "".join(character if character in _NAME_CHARACTERS else "_" for character in given)
        if name == "default":
            default = template
        elif name:
            names.append(name)
            yield f"tokenizer.chat_template.{name}", string_field(template)
    if names:
        yield "tokenizer.chat_templates", Field(FieldType(ValueType.ARRAY, ValueType.STRING), names)
    if default:
        yield "tokenizer.chat_template", string_field(default)
