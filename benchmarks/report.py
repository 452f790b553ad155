"""The figures as one table, in Markdown, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table

from benchmarks.comparison import Figure

_COLUMNS = ("model", "threads", "test", "unit", "pyggml", "llama.cpp", "ratio", "share of bandwidth")
_AT_THE_LEFT = ("model", "test", "unit")


def table(figures: Sequence[Figure]) -> Table:
    """A line for each figure; shares are pyggml's and llama.cpp's."""
    result = Table(box=box.MARKDOWN)
    for column in _COLUMNS:
        result.add_column(column, justify="left" if column in _AT_THE_LEFT else "right", no_wrap=True)
    for each in figures:
        other = "" if each.llama_cpp is None else _number(each.llama_cpp)
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        share = "" if each.share is None else " / ".join(f"{part:.0%}" for part in each.share)
        result.add_row(
            *(each.model, str(each.n_threads), each.test, each.unit, _number(each.pyggml), other, ratio, share)
        )
    return result


def as_json(figures: Sequence[Figure]) -> list[dict[str, object]]:
    """All that the figures hold, with their ratios."""
    return [asdict(each) | {"ratio": each.ratio} for each in figures]


def _number(value: float) -> str:
    """Three or four digits."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
