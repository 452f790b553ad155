"""The names of samplers on the command line and in files."""

from collections.abc import Iterable

from pyggml.errors import SamplingError

DEFAULT_SAMPLERS = (*("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"),)
LETTERS = {
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "y": "typ_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
    "a": "adaptive_p",
}
_OTHER_NAMES = {"nucleus": "top_p", "temp": "temperature", "typ": "typ_p", "typical_p": "typ_p"}


def samplers_from_names(names: Iterable[str]) -> tuple[str, ...]:
    """Give the canonical names: case, dashes and missing underscores are forgiven, "nucleus", "temp", "typ" known.

    Raises SamplingError for an unknown name.
    """
    known = {_bare(name): name for name in LETTERS.values()}
    known |= {_bare(name): canonical for name, canonical in _OTHER_NAMES.items()}
    result = []
    for name in names:
        if _bare(name) not in known:
            raise SamplingError(f"samplers: {name!r} is not known; allowed: {', '.join(LETTERS.values())}")
        result.append(known[_bare(name)])
    return tuple(result)


def samplers_from_letters(letters: str) -> tuple[str, ...]:
    """Give the names for one letter each, as in `--sampler-seq`. Raises SamplingError for an unknown letter."""
    for letter in letters:
        if letter not in LETTERS:
            allowed = ", ".join(f"{known} ({name})" for known, name in LETTERS.items())
            raise SamplingError(f"samplers: the letter {letter!r} is not known; allowed: {allowed}")
    return tuple(LETTERS[letter] for letter in letters)


def _bare(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
