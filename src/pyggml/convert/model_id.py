"""What the name of a model tells: "Qwen2.5-Coder-0.5B-Instruct" has a size, a purpose and maybe a version.

The same guesses as llama.cpp's converter makes, since its files are named after them.
"""

import re
from dataclasses import dataclass, field

_VERSION = re.compile(r"(v|iter)?\d+([.]\d+)*", re.IGNORECASE)
_TYPE = re.compile(r"i?q\d(_\w)*|b?fp?(16|32)", re.IGNORECASE)
_SIZE = re.compile(r"(([A]|\d+[x])?\d+([._]\d+)?[KMBT][\d]?|small|mini|medium|large|x?xl)", re.IGNORECASE)
_FINETUNE = re.compile(r"chat|instruct|vision|lora", re.IGNORECASE)
_KEPT_IN_TITLES = re.compile(r"v\d+(?:\.\d+)*|\d.*")


@dataclass(frozen=True)
class ModelId:
    """The parts of a name; None where it has none."""

    name: str | None = None
    organization: str | None = None
    basename: str | None = None
    finetune: str | None = None
    version: str | None = None
    size_label: str | None = None


@dataclass
class _Part:
    text: str
    kinds: set[str] = field(default_factory=set)


def parse_model_id(model_id: str, n_weights: int = 0) -> ModelId:
    """The parts of "organization/name" or "name".

    A size that is far from `n_weights`, unless that is 0, is taken for the length of a context.
    """
    if " " in model_id:
        return ModelId(name=model_id)
    organization, slash, name = model_id.partition("/")
    if not slash:
        organization, name = "", model_id
    parts = [_Part(text) for text in name.split("-") if text]
    for index, each in enumerate(parts):
        _recognize(each, is_first=index == 0, n_weights=n_weights)
    _prefer_numbered_sizes(parts)
    _find_basename(parts)
    size = "-".join(dict.fromkeys(each.text for each in parts if "size" in each.kinds)) or None
    finetune = _joined(parts, "finetune")
    version = "-".join(each.text for each in parts if "version" in each.kinds and "base" not in each.kinds) or None
    is_telling = any((size, finetune, version))
    return ModelId(
        name=name,
        organization=None if not slash or organization.startswith(".") else organization,
        basename=_joined(parts, "base") if is_telling else None,
        finetune=finetune,
        version=version,
        size_label=size,
    )


def title(name: str) -> str:
    """A name for people: words apart and capitalized, unless they are versions, numbers or written otherwise."""
    words = name.strip().replace("-", " ").split()
    return " ".join(w.title() if w.islower() and not _KEPT_IN_TITLES.fullmatch(w) else w for w in words)


def rounded_count(n_weights: int) -> str:
    """Such as 494M: at least two digits, and the largest unit of which there is more than one."""
    units = ((1e12, 1e-12, "T"), (1e9, 1e-9, "B"), (1e6, 1e-6, "M"), (-1, 1e-3, "K"))
    scale, unit = next((scale, unit) for least, scale, unit in units if n_weights > least)
    scaled = n_weights * scale
    n_places = max(2 - len(str(round(scaled)).lstrip("0")), 0)
    return f"{scaled:.{n_places}f}{unit}"


def _recognize(each: _Part, *, is_first: bool, n_weights: int) -> None:
    if _VERSION.fullmatch(each.text):
        each.kinds.add("version")
    elif _TYPE.fullmatch(each.text):
        each.kinds.add("type")
        each.text = each.text.upper()
    elif not is_first and _SIZE.fullmatch(each.text):
        _recognize_size(each, n_weights)
    elif not is_first and _FINETUNE.fullmatch(each.text):
        each.kinds.add("finetune")


def _recognize_size(each: _Part, n_weights: int) -> None:
    text = each.text.replace("_", ".")
    if text[-1].isdecimal():  # 7b1 is 7.1b
        text = f"{text[:-2]}.{text[-1]}{text[-2]}"
    if len(text) > 1 and text[-2].isdecimal() and text[-1] in "kmbt":
        text = text[:-1] + text[-1].upper()
    if n_weights:
        try:
            told = float(text[:-1]) * pow(1000, " KMBT".find(text[-1]))
        except ValueError:  # "large" tells no number
            told = n_weights
        if abs(told - n_weights) > 7 * n_weights // 8:
            each.kinds.add("finetune")
            text = text[:-1] + text[-1].lower()
    if not each.kinds:
        each.kinds.add("size")
    each.text = text


def _prefer_numbered_sizes(parts: list[_Part]) -> None:
    sizes = [each for each in parts if "size" in each.kinds]
    if any(character.isdecimal() for each in sizes for character in each.text):
        for each in sizes:
            if each.text.isalpha():
                each.kinds.remove("size")


def _find_basename(parts: list[_Part]) -> None:
    """What stands before the first part that is something else; a version at its end is no part of it."""
    at_start = True
    for each in parts:
        if at_start and ((not each.kinds and each.text[0].isalpha()) or "version" in each.kinds):
            each.kinds.add("base")
        else:
            at_start = False
            if not each.kinds:
                each.kinds.add("finetune")
    for each in reversed(parts):
        if "base" not in each.kinds or len(each.kinds) == 1:
            break
        each.kinds.remove("base")


def _joined(parts: list[_Part], kind: str) -> str | None:
    return "-".join(each.text for each in parts if kind in each.kinds) or None
