"""`pyggml inspect`: what a GGUF file holds, for people and, with --json, for programs."""

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from pyggml.gguf import GGUFFile, TensorInfo, Value, ValueType
from pyggml.gguf.cursor import quoted
from pyggml.gguf.values import as_list

MAX_ELEMENTS = 64
MAX_CHARACTERS = 1000

# In the tables for people there is less room.
_SHOWN_ELEMENTS = 6
_SHOWN_CHARACTERS = 60
_NAME_CHARACTERS = 200
# Wide enough for any line, so that nothing is cut or folded in a pipe.
_PIPE_WIDTH = 10_000


@dataclass(frozen=True)
class TypeSummary:
    """All tensors of one type together; `n_bytes` is None if the type is unknown."""

    name: str
    n_tensors: int
    n_elements: int
    n_bytes: int | None


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
@click.option("--full", is_flag=True, help="With --json: give arrays and strings whole, however long.")
def inspect_command(file: Path, as_json: bool, full: bool) -> None:
    """Print the metadata and the tensors of a GGUF FILE, or of all shards if it is one of a split file."""
    if full and not as_json:
        raise click.UsageError("--full works with --json only: the tables always shorten")
    with GGUFFile.open(file) as opened:
        if as_json:
            click.echo(json.dumps(_json_object(opened, full), indent=1, allow_nan=False))
        else:
            _print_tables(opened)


def summarize(tensors: Collection[TensorInfo]) -> list[TypeSummary]:
    """Sum up the tensors by type, the type with most bytes first."""
    by_type: dict[str, list[TensorInfo]] = {}
    for info in tensors:
        by_type.setdefault(info.type_name, []).append(info)
    summaries = [_summary(name, infos) for name, infos in by_type.items()]
    return sorted(summaries, key=lambda summary: summary.n_bytes or 0, reverse=True)


def bits_per_weight(n_bytes: int | None, n_elements: int) -> float | None:
    """Bits for each weight; None if the bytes are unknown or there are no weights."""
    return None if n_bytes is None or not n_elements else n_bytes * 8 / n_elements


def _summary(name: str, tensors: Collection[TensorInfo]) -> TypeSummary:
    sizes = [info.n_bytes for info in tensors]
    known = [size for size in sizes if size is not None]
    n_bytes = sum(known) if len(known) == len(sizes) else None
    return TypeSummary(name, len(tensors), sum(info.n_elements for info in tensors), n_bytes)


def _json_object(file: GGUFFile, full: bool) -> dict[str, Any]:
    total = _summary("total", file.tensors.values())
    return {
        "path": str(file.path),
        "paths": [str(path) for path in file.paths],
        "version": file.version,
        "byte_order": file.byte_order,
        "alignment": file.alignment,
        "metadata": {
            key: {"type": str(file.metadata_types[key]), **_json_field(value, full)}
            for key, value in file.metadata.items()
        },
        "tensors": [_json_tensor(info) for info in file.tensors.values()],
        "types": [_json_summary(summary) for summary in summarize(file.tensors.values())],
        "total": _json_summary(total),
    }


def _json_field(value: Value, full: bool) -> dict[str, Any]:
    """`value`, and if it has a length that too, and whether it was shortened."""
    if not isinstance(value, (str, list, np.ndarray)):
        return {"value": _json_value(value, full)}
    limit = MAX_CHARACTERS if isinstance(value, str) else MAX_ELEMENTS
    return {
        "length": len(value),
        "shortened": len(value) > limit and not full,
        "value": _json_value(value, full),
    }


def _json_value(value: Value, full: bool) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no number for it
    if isinstance(value, str):
        return value if full else value[:MAX_CHARACTERS]
    if isinstance(value, (list, np.ndarray)):
        return [_json_value(element, full) for element in as_list(value if full else value[:MAX_ELEMENTS])]
    return value


def _json_tensor(info: TensorInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "type": info.type_name,
        "type_id": info.type_id,
        "shape": list(info.shape),
        "n_elements": info.n_elements,
        "n_bytes": info.n_bytes,
        "bits_per_weight": bits_per_weight(info.n_bytes, info.n_elements),
        "offset": info.offset,
        "path": str(info.path),
    }


def _json_summary(summary: TypeSummary) -> dict[str, Any]:
    return {
        "type": summary.name,
        "n_tensors": summary.n_tensors,
        "n_elements": summary.n_elements,
        "n_bytes": summary.n_bytes,
        "bits_per_weight": bits_per_weight(summary.n_bytes, summary.n_elements),
    }


def _print_tables(file: GGUFFile) -> None:
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_tables(file))
        return
    pipe = Console(highlight=False, width=_PIPE_WIDTH)
    with pipe.capture() as capture:
        pipe.print(_tables(file))
    # Rich fills every line of a table up to its width.
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _tables(file: GGUFFile) -> Group:
    return Group(
        *(Text(str(path)) for path in file.paths),
        Text(f"GGUF version {file.version}, {file.byte_order}-endian, alignment {file.alignment}"),
        Text(f"\nMetadata: {len(file.metadata)} keys"),
        _metadata_table(file),
        Text(f"\nTensors: {len(file.tensors)}"),
        _tensor_table(file.tensors.values()),
        Text("\nTypes"),
        _type_table(file.tensors.values()),
    )


def _table(columns: tuple[str, ...], right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _metadata_table(file: GGUFFile) -> Table:
    table = _table(("key", "type", "value"))
    for key, value in file.metadata.items():
        field_type = file.metadata_types[key]
        if isinstance(value, float) and field_type.value is ValueType.FLOAT32:
            shown = str(np.float32(value))  # 1e-06, as it was written, where in double precision it is 9.99...e-07
        else:
            shown = _shown(value)
        table.add_row(Text(_printable(key)), str(field_type), Text(shown))
    return table


def _tensor_table(tensors: Collection[TensorInfo]) -> Table:
    table = _table(("name", "type", "shape", "size", "bits/weight"), right=("size", "bits/weight"))
    for info in tensors:
        shape = " x ".join(map(str, info.shape))
        table.add_row(Text(_printable(info.name)), info.type_name, shape, *_sizes(info.n_bytes, info.n_elements))
    return table


def _type_table(tensors: Collection[TensorInfo]) -> Table:
    numbers = ("tensors", "weights", "size", "bits/weight")
    table = _table(("type", *numbers), right=numbers)
    for summary in [*summarize(tensors), _summary("total", tensors)]:
        sizes = _sizes(summary.n_bytes, summary.n_elements)
        table.add_row(summary.name, f"{summary.n_tensors:,}", f"{summary.n_elements:,}", *sizes)
    return table


def _sizes(n_bytes: int | None, n_elements: int) -> tuple[str, str]:
    bits = bits_per_weight(n_bytes, n_elements)
    return "unknown" if n_bytes is None else _size(n_bytes), "" if bits is None else f"{bits:.4g}"


def _size(n_bytes: int) -> str:
    if n_bytes < 2**10:
        return f"{n_bytes} B"
    unit, name = next(
        (unit, name) for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")) if n_bytes >= unit
    )
    return f"{n_bytes / unit:.2f} {name}"


def _shown(value: Value) -> str:
    if isinstance(value, str):
        is_whole = len(value) <= _SHOWN_CHARACTERS
        return repr(value) if is_whole else f"{value[:_SHOWN_CHARACTERS]!r}... ({len(value):,} characters)"
    if isinstance(value, (list, np.ndarray)):
        elements = ", ".join(map(_shown, value[:_SHOWN_ELEMENTS]))
        return f"[{elements}]" if len(value) <= _SHOWN_ELEMENTS else f"[{elements}, ...] ({len(value):,} elements)"
    return str(value)


def _printable(name: str) -> str:
    """A name as it is, unless it is endless or holds control characters, which would act on the terminal."""
    return name if name.isprintable() and len(name) <= _NAME_CHARACTERS else quoted(name)
