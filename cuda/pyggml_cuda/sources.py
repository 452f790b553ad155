"""The kernels' sources: each file with its headers as one text, which a compiler's cache can be keyed by."""

import re
from functools import cache
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parent / "src"

_INCLUDE = re.compile(r'#include "(.+)"')


@cache
def program(file: str, headers: tuple[str, ...] = ()) -> str:
    """The text of a `.cu` file, with `headers` before it and every `#include` replaced by what it names, once."""
    included: set[Path] = set()
    return "\n".join(_lines(DIRECTORY / name, included) for name in (*headers, file))


def _lines(path: Path, included: set[Path]) -> str:
    if path in included:
        return ""
    included.add(path)
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        include = _INCLUDE.match(line)
        if include:
            lines.append(_lines((path.parent / include[1]).resolve(), included))
        elif line != "#pragma once":
            lines.append(line)
    return "\n".join(lines)
