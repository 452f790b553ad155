"""Names of GGUF files: which are safe to write, which belong together, which one a tag means."""

import re
from collections.abc import Sequence

DEFAULT_TAGS = ("Q4_K_M", "Q8_0")
MAX_PATH_CHARACTERS = 512
MAX_NAME_BYTES = 200  # a file name has 255; the cache appends suffixes

_SHARD = re.compile(r"(?P<prefix>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf", re.ASCII)
_TAG = re.compile(r"[-.]([A-Z0-9_]+)$", re.ASCII | re.IGNORECASE)
_UNSAFE_CHARACTER = re.compile(r'[\x00-\x1f\x7f<>:"\\|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.ASCII | re.IGNORECASE)
# What else GGUF repositories hold: vision projectors, importance matrices, draft models of several kinds.
_NOT_MODELS = ("mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-")


def is_safe_path(path: str) -> bool:
    """Tell whether a relative path that a server named stays inside its folder, on every file system.

    That is: no empty part, `.` or `..`, nothing absolute, no characters or device names that Windows reserves, no
    lengths beyond what file systems take, no lone surrogates.
    """
    return len(path) <= MAX_PATH_CHARACTERS and all(_is_safe_name(part) for part in path.split("/"))


def _is_safe_name(name: str) -> bool:
    try:
        n_bytes = len(name.encode())
    except UnicodeEncodeError:
        return False
    return (
        0 < n_bytes <= MAX_NAME_BYTES
        and not _UNSAFE_CHARACTER.search(name)
        and not _DEVICE.fullmatch(name)
        and name[0] != " "
        and name[-1] not in " ."
    )


def is_model(path: str) -> bool:
    """Tell whether the name is that of a model, or of a model's first shard."""
    if not path.endswith(".gguf") or any(word in path.rpartition("/")[2] for word in _NOT_MODELS):
        return False
    shard = _SHARD.fullmatch(path)
    return shard is None or int(shard["index"]) == 1


def choose_model(paths: Sequence[str], tag: str) -> str | None:
    """Choose a model as llama.cpp's `-hf user/repo:tag` does.

    The tag is found, whatever its case, anywhere in the path before a `.` or `-`. Without a tag it is Q4_K_M, else
    Q8_0, else the first model.
    """
    models = [path for path in paths if is_model(path)]
    for wanted in (tag,) if tag else DEFAULT_TAGS:
        pattern = re.compile(re.escape(wanted) + "[.-]", re.IGNORECASE)
        for path in models:
            if pattern.search(path):
                return path
    return models[0] if models and not tag else None


def choose_tower(paths: Sequence[str], model: str) -> str | None:
    """Choose the vision tower of a model as llama.cpp's `-hf` does; None if there is none.

    It has mmproj in its path, and lies in the model's folder or above, the nearer the better; among several, the one
    whose number of bits is nearest to the model's.
    """
    folders, n_bits = model.split("/")[:-1], _bits(model)
    best: tuple[int, int, str] | None = None
    for path in paths:
        own = path.split("/")[:-1]
        if path.endswith(".gguf") and "mmproj" in path and folders[: len(own)] == own:
            rank = (-len(own), abs(_bits(path) - n_bits))
            if best is None or rank < best[:2]:
                best = (*rank, path)
    return best[2] if best else None


def _bits(path: str) -> int:
    """The first number in the quantization that a name ends with; 0 without one."""
    shard = _SHARD.fullmatch(path)
    name = shard["prefix"] if shard else path.removesuffix(".gguf")
    tag = _TAG.search(name)
    digits = re.search(r"[0-9]+", tag[1]) if tag else None
    return int(digits[0]) if digits else 0


def all_shards(path: str) -> list[str]:
    """Name all shards of the split file that a path is a shard of, in order; of any other file just the path."""
    shard = _SHARD.fullmatch(path)
    if shard is None or int(shard["count"]) == 0:
        return [path]
    return [f"{shard['prefix']}-{index:05}-of-{shard['count']}.gguf" for index in range(1, int(shard["count"]) + 1)]
