"""The values of options of `pyggml quantize` that are more than a name."""

import re
from pathlib import Path

from pyggml.errors import QuantizeError, UsageError
from pyggml.gguf import ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.quantize.file_types import NO_OWN_TYPES, OwnTypes, find_file_type, tensor_type_named

_MAX_BYTES = 127
_BOOLS = {"true": True, "false": False}


def positional(arguments: tuple[str, ...], own: OwnTypes = NO_OWN_TYPES) -> tuple[Path, Path | None, str, int | None]:
    """IN [OUT] TYPE [THREADS]: the second is OUT unless it is the name or number of a file type. Raises UsageError."""
    source, *rest = arguments
    target = None if rest and find_file_type(rest[0], own) else rest.pop(0) if rest else None
    if not rest or len(rest) > 2:
        raise UsageError("pyggml quantize needs IN [OUT] TYPE [THREADS], such as: in-f16.gguf out.gguf Q4_K_M")
    n_threads = None
    if len(rest) == 2:
        if not rest[1].isdecimal():
            raise UsageError(f"the number of threads is {rest[1]!r}; allowed is a whole number, 0 for all cores")
        n_threads = int(rest[1]) or None
    return Path(source), None if target is None else Path(target), rest[0], n_threads


def tensor_pattern(value: str, own: OwnTypes = NO_OWN_TYPES) -> tuple[re.Pattern[str], str]:
    """`attn_v=q8_0`: a regular expression, taken in lower case as by llama-quantize, and a type. Raises UsageError."""
    pattern, sign, name = value.partition("=")
    if not (pattern and sign and name):
        raise UsageError(f"--tensor-type {value!r} is no REGEX=TYPE, such as attn_v=q8_0")
    try:
        compiled = re.compile(pattern.lower())
    except re.error as error:
        raise UsageError(f"--tensor-type {value!r}: {pattern!r} is no regular expression: {error}") from None
    try:
        return compiled, tensor_type_named(name, own).name
    except QuantizeError as error:
        raise UsageError(f"--tensor-type {value!r}: {error}") from None


def tensor_patterns_of(path: Path, own: OwnTypes = NO_OWN_TYPES) -> list[tuple[re.Pattern[str], str]]:
    """Such pairs from a file, with spaces or line ends between them. Raises UsageError."""
    try:
        return [tensor_pattern(each, own) for each in path.read_text(encoding="utf-8").split()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--tensor-type-file {path}: the file cannot be read: {error}") from None


def key_override(value: str) -> tuple[str, Field]:
    """`KEY=TYPE:VALUE` with the type int, float, bool or str. Raises UsageError.

    As by llama-quantize an integer is stored as uint32 without its sign, a float as float32.
    """
    key, sign, typed = value.partition("=")
    kind, colon, text = typed.partition(":")
    if not (key and sign and colon):
        raise UsageError(f"--override-kv {value!r} is no KEY=TYPE:VALUE with TYPE int, float, bool or str")
    try:
        if kind == "int":
            return key, number_field(ValueType.UINT32, abs(int(text)))
        if kind == "float":
            return key, number_field(ValueType.FLOAT32, float(text))
        if kind == "bool":
            return key, number_field(ValueType.BOOL, _BOOLS[text])
    except (ValueError, KeyError):
        raise UsageError(f"--override-kv {value!r}: {text!r} is no {kind}") from None
    if kind != "str":
        raise UsageError(f"--override-kv {value!r}: there is no type {kind!r}; allowed are int, float, bool, str")
    if len(text.encode()) > _MAX_BYTES:
        raise UsageError(f"--override-kv {key!r}: the text has {len(text.encode())} bytes; allowed are {_MAX_BYTES}")
    return key, string_field(text)
