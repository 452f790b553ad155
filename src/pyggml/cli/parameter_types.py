"""The values of options that are more than a number or a text."""

import os
import re

import click
from click.types import FuncParamType

#: What `-ngl` says besides a number: as many layers as fit, or all of them.
AUTO, ALL = "auto", "all"

_WORDS = {"-1": AUTO, "-2": ALL, AUTO: AUTO, ALL: ALL}
_SHARES = re.compile(r"(\d+\.?\d*|\.\d+)([,/](\d+\.?\d*|\.\d+))*", re.ASCII)
_LOGIT_BIAS = re.compile(r"(\d+)([+-])(inf|\d+\.?\d*|\.\d+)", re.IGNORECASE)
# Python puts them for the bytes that it could not decode.
_SURROGATE = re.compile("[\ud800-\udfff]")


def logit_bias(value: str) -> tuple[int, float]:
    """Split `15043+1` or `15043-inf` into a token id and what is added to its logit. Raises click.BadParameter."""
    match = _LOGIT_BIAS.fullmatch(value)
    if not match:
        raise click.BadParameter(f"{value!r} is no token id with a bias, such as 15043+1 or 15043-inf.")
    token, sign, size = match.groups()
    return int(token), float(sign + size)


def gpu_layers(value: str) -> int | str:
    """Give a number of layers, AUTO or ALL; -1 and -2 mean these two, as in llama.cpp. Raises click.BadParameter."""
    if value in _WORDS:
        return _WORDS[value]
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is not allowed: a number of layers from 0, {AUTO!r} or {ALL!r} is.")
    return int(value)


def text(value: str) -> str:
    """Read the command line as UTF-8, whatever the locale is; U+FFFD stands for what is none."""
    return os.fsencode(value).decode("utf-8", errors="replace") if _SURROGATE.search(value) else value


def device_names(value: str) -> tuple[str, ...]:
    """Split `CUDA0,CUDA1`. Raises click.BadParameter."""
    names = tuple(value.split(","))
    if not all(names):
        raise click.BadParameter(f"{value!r} is no list of devices, such as CUDA0,CUDA1.")
    return names


def shares(value: str) -> tuple[float, ...]:
    """Split `3,1`, or `3/1`, into numbers. Raises click.BadParameter."""
    if not _SHARES.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no list of shares, such as 3,1.")
    return tuple(map(float, re.split("[,/]", value)))


def overrides(value: str) -> tuple[tuple[str, str], ...]:
    """Split `PATTERN=DEVICE,PATTERN=DEVICE`; a pattern has no comma. Raises click.BadParameter."""
    pairs = [each.rpartition("=")[::2] for each in value.split(",")]
    if not all(pattern and device for pattern, device in pairs):
        raise click.BadParameter(f"{value!r} is no list of patterns and devices, such as ffn_up=CPU,ffn_down=CUDA0.")
    return tuple(pairs)


LOGIT_BIAS = FuncParamType(logit_bias)
GPU_LAYERS = FuncParamType(gpu_layers)
DEVICE_NAMES = FuncParamType(device_names)
SHARES = FuncParamType(shares)
OVERRIDES = FuncParamType(overrides)
TEXT = FuncParamType(text)
