"""llama-bench's output formats: Markdown, CSV, JSON, a JSON object a line, SQL. Each gives text, piece by piece."""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from pyggml.bench.cases import BenchGrid
from pyggml.bench.fields import FIELDS, field_values
from pyggml.bench.markdown import MarkdownPrinter
from pyggml.bench.result import BenchResult

_SQL_TYPES = {str: "TEXT", int: "INTEGER", bool: "INTEGER", float: "REAL"}
_TABLE = "llama_bench"


class Printer(Protocol):
    """Writes a header, a piece for each result, and a footer."""

    def header(self, grid: BenchGrid) -> str:
        """What comes before all results."""

    def result(self, result: BenchResult) -> str:
        """One result."""

    def footer(self) -> str:
        """What comes after all results."""


class CSVPrinter:
    """A line of names, then a line for each result, all values quoted."""

    def header(self, grid: BenchGrid) -> str:
        """See `Printer.header`."""
        return ",".join(FIELDS) + "\n"

    def result(self, result: BenchResult) -> str:
        """See `Printer.result`."""
        return ",".join('"' + value.replace('"', '""') + '"' for value in field_values(result).values()) + "\n"

    def footer(self) -> str:
        """See `Printer.footer`."""
        return ""


class JSONPrinter:
    """An array of objects."""

    def __init__(self) -> None:
        """Begin without a result."""
        self._separator = ""

    def header(self, grid: BenchGrid) -> str:
        """See `Printer.header`."""
        return "[\n"

    def result(self, result: BenchResult) -> str:
        """See `Printer.result`."""
        lines = ",\n".join(f"    {entry}" for entry in (*_entries(result), *_samples(result)))
        text = f"{self._separator}  {{\n{lines}\n  }}"
        self._separator = ",\n"
        return text

    def footer(self) -> str:
        """See `Printer.footer`."""
        return "\n]\n"


class JSONLinesPrinter:
    """An object a line."""

    def header(self, grid: BenchGrid) -> str:
        """See `Printer.header`."""
        return ""

    def result(self, result: BenchResult) -> str:
        """See `Printer.result`."""
        return "{" + ", ".join((*_entries(result), ",".join(_samples(result)))) + "}\n"

    def footer(self) -> str:
        """See `Printer.footer`."""
        return ""


class SQLPrinter:
    """A table, and a row for each result."""

    def header(self, grid: BenchGrid) -> str:
        """See `Printer.header`."""
        columns = ",\n".join(f"  {name} {_SQL_TYPES[kind]}" for name, kind in FIELDS.items())
        return f"CREATE TABLE IF NOT EXISTS {_TABLE} (\n{columns}\n);\n\n"

    def result(self, result: BenchResult) -> str:
        """See `Printer.result`."""
        values = ", ".join("'" + value.replace("'", "''") + "'" for value in field_values(result).values())
        return f"INSERT INTO {_TABLE} ({', '.join(FIELDS)}) VALUES ({values});\n"

    def footer(self) -> str:
        """See `Printer.footer`."""
        return ""


PRINTERS: Mapping[str, type[Printer]] = MappingProxyType(
    {
        "csv": CSVPrinter,
        "json": JSONPrinter,
        "jsonl": JSONLinesPrinter,
        "md": MarkdownPrinter,
        "sql": SQLPrinter,
    }
)


def _entries(result: BenchResult) -> Iterable[str]:
    for name, value in field_values(result).items():
        kind = FIELDS[name]
        if kind is str:
            value = json.dumps(value, ensure_ascii=False)
        elif kind is bool:
            value = "false" if value == "0" else "true"
        yield f'"{name}": {value}'


def _samples(result: BenchResult) -> tuple[str, str]:
    nanoseconds = ", ".join(map(str, result.samples_ns))
    speeds = ", ".join(f"{each:g}" for each in result.samples_ts)
    return f'"samples_ns": [ {nanoseconds} ]', f'"samples_ts": [ {speeds} ]'
