"""The values of options of `pyggml bench`: lists, with ranges of numbers, as llama-bench reads them."""

import re
from collections.abc import Sequence

import click

from pyggml.cli.model_options import CACHE_TYPES
from pyggml.cli.parameter_types import device_names, overrides, shares
from pyggml.gpus import LAYER, NONE

# FIRST[-LAST[+STEP or *FACTOR]]
_RANGE = re.compile(r"(?P<first>-?\d+)(?:-(?P<last>\d+)(?:(?P<sign>[+*])(?P<step>\d+))?)?", re.ASCII)
_MOST_NUMBERS = 10_000
_LARGEST = 2**31 - 1
_FLASH_ATTENTION = {
    **dict.fromkeys(("on", "enabled", "true", "1"), 1),
    **dict.fromkeys(("off", "disabled", "false", "0"), 0),
    **dict.fromkeys(("auto", "-1"), -1),
}


def numbers(value: str) -> tuple[int, ...]:
    """`512`, `128,512`, `1-8` (in steps of 1), `1-8+2` or `1-8*2`, and lists of these. Raises click.BadParameter."""
    return _numbers(value, least=0)


def layers(value: str) -> tuple[int, ...]:
    """The same, and -1 is allowed. Raises click.BadParameter."""
    return _numbers(value, least=-1)


def pair(value: str) -> tuple[int, int]:
    """`512,128`: tokens to read and to generate. Raises click.BadParameter."""
    if not re.fullmatch(r"\d{1,9},\d{1,9}", value, re.ASCII):
        raise click.BadParameter(f"{value!r} is no pair of numbers, such as 512,128.")
    n_prompt, n_gen = map(int, value.split(","))
    return n_prompt, n_gen


def cache_types(value: str) -> tuple[str, ...]:
    """Names of types, such as `f16,q8_0`. Raises click.BadParameter."""
    names = tuple(value.split(","))
    for name in names:
        if name not in CACHE_TYPES:
            raise click.BadParameter(f"{name!r} is no type of a cache: allowed are {', '.join(CACHE_TYPES)}.")
    return names


def split_modes(value: str) -> tuple[str, ...]:
    """Names of modes, `layer` and `none`. Raises click.BadParameter."""
    for name in value.split(","):
        if name not in (LAYER, NONE):
            raise click.BadParameter(f"{name!r} is not allowed: {LAYER} and {NONE} are; matrices are not split.")
    return tuple(value.split(","))


def device_lists(value: str) -> tuple[tuple[str, ...] | None, ...]:
    """Lists of GPUs with slashes, such as `CUDA0,CUDA0/CUDA1`; None for `auto`. Raises click.BadParameter."""
    return tuple(None if each == "auto" else device_names(each.replace("/", ",")) for each in value.split(","))


def share_lists(value: str) -> tuple[tuple[float, ...], ...]:
    """Lists of shares with slashes or semicolons, such as `1/1,3/1`. Raises click.BadParameter."""
    return tuple(shares(each.replace(";", "/")) for each in value.split(","))


def override_lists(value: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Lists of patterns and devices with semicolons, such as `ffn_up=CPU;ffn_down=CPU`; an empty one has none.

    Raises click.BadParameter.
    """
    return tuple(overrides(each.replace(";", ",")) if each else () for each in value.split(","))


def switches(value: str) -> tuple[int, ...]:
    """Lists of 0 and 1. Raises click.BadParameter."""
    return _numbers(value, least=0, largest=1)


def flash_attention(value: str) -> tuple[int, ...]:
    """`on`, `off` and `auto` as llama.cpp's numbers 1, 0 and -1. Raises click.BadParameter."""
    for name in value.split(","):
        if name not in _FLASH_ATTENTION:
            raise click.BadParameter(f"{name!r} is not allowed: on, off and auto are.")
    return tuple(_FLASH_ATTENTION[name] for name in value.split(","))


def _numbers(value: str, least: int, largest: int = _LARGEST) -> tuple[int, ...]:
    # As in llama-bench, a comma may end the list.
    ranges = [_range(part, value) for part in value.removesuffix(",").split(",")]
    outside = [end for each in ranges if each for end in (each[0], each[-1]) if not least <= end <= largest]
    if outside:
        raise click.BadParameter(f"{value!r} holds {outside[0]}; allowed are {least} to {largest}.")
    n_numbers = sum(map(len, ranges))
    if n_numbers > _MOST_NUMBERS:
        raise click.BadParameter(f"{value!r} stands for {n_numbers} numbers; allowed are {_MOST_NUMBERS}.")
    return tuple(number for each in ranges for number in each)


def _range(part: str, value: str) -> Sequence[int]:
    match = _RANGE.fullmatch(part)
    if not match:
        raise click.BadParameter(f"{value!r} is no list of numbers and ranges, such as 512, 128,512 or 1-8*2.")
    first, last, step = int(match["first"]), int(match["last"] or match["first"]), int(match["step"] or 1)
    is_factor = match["sign"] == "*"
    if step < 1 or (is_factor and (step == 1 or first < 1)):
        raise click.BadParameter(f"{part!r} never ends: steps are from 1, factors from 2, and those begin from 1.")
    if not is_factor:
        return range(first, last + 1, step)
    multiples = []
    while first <= last:
        multiples.append(first)
        first *= step
    return multiples
