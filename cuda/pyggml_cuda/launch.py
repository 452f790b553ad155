"""Kernels by name, and calls of them: which blocks, and one structure of arguments, laid out as C does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Fields of structures, by what they are in C.
POINTER, INT, LONG, FLOAT = np.uint64, np.int32, np.int64, np.float32


def structure(fields: Mapping[str, Any]) -> np.dtype[np.void]:
    """The layout of a C structure with these fields."""
    return np.dtype(list(fields.items()), align=True)


def filled(layout: np.dtype[np.void], values: Mapping[str, Any]) -> npt.NDArray[np.void]:
    """One structure; fields that are not named are zero."""
    result = np.zeros((), layout)
    for name, value in values.items():
        result[name] = value
    return result


@dataclass(frozen=True)
class KernelName:
    """A kernel: its source, what has to be included before it, and its name with template arguments."""

    file: str
    expression: str
    headers: tuple[str, ...] = ()
    architecture: str | None = None
    """The one that it is for, such as 90a; None if it is for all."""


@dataclass(frozen=True, eq=False)
class Launch:
    """One call of a kernel."""

    kernel: KernelName
    grid: tuple[int, int, int]
    block: int
    arguments: tuple[npt.NDArray[Any], ...]
    """Parameters in order, each an array of no dimensions."""
    shared_bytes: int = 0


def blocks(n: int, per_block: int) -> int:
    """How many blocks take `n` items."""
    return -(-n // per_block)
