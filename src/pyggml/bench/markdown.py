"""The Markdown table: what is always of interest, and the parameters that are not at their default."""

from pyggml.bench.cases import BenchGrid
from pyggml.bench.fields import BUILD_COMMIT, BUILD_NUMBER, field_values
from pyggml.bench.result import BenchResult

_TITLES = {
    "n_threads": "threads",
    "n_gpu_layers": "ngl",
    "split_mode": "sm",
    "no_kv_offload": "nkvo",
    "flash_attn": "fa",
    "devices": "dev",
    "tensor_split": "ts",
    "tensor_buft_overrides": "ot",
}
# Negative ones stand for columns that begin at the left.
_WIDTHS = {
    "model": -30,
    "size": 10,
    "params": 10,
    "backend": -10,
    "n_threads": 7,
    "n_gpu_layers": 3,
    "n_batch": 7,
    "n_ubatch": 8,
    "type_k": 6,
    "type_v": 6,
    "main_gpu": 10,
    "split_mode": 6,
    "no_kv_offload": 13,
    "flash_attn": 3,
    "devices": -12,
    "tensor_split": -12,
    "tensor_buft_overrides": -21,
    "test": 15,
    "t/s": 20,
}
_OPTIONAL = (
    *("n_gpu_layers", "n_batch", "n_ubatch", "type_k", "type_v", "main_gpu", "split_mode", "no_kv_offload"),
    *("flash_attn", "devices", "tensor_split", "tensor_buft_overrides"),
)


class MarkdownPrinter:
    """llama-bench's table; its columns depend on what was asked for."""

    def __init__(self) -> None:
        """Begin without columns."""
        self._columns: list[str] = []

    def header(self, grid: BenchGrid) -> str:
        """Choose the columns, and write their titles."""
        usual = BenchGrid(grid.models)
        chosen = [name for name in _OPTIONAL if getattr(grid, name) != getattr(usual, name)]
        self._columns = ["model", "size", "params", "backend", "n_threads", *chosen, "test", "t/s"]
        rules = (
            "-" * (abs(width) - 1) + ("-" if width < 0 else ":") for width in map(_WIDTHS.__getitem__, self._columns)
        )
        return self._line({name: _TITLES.get(name, name) for name in self._columns}) + f"| {' | '.join(rules)} |\n"

    def result(self, result: BenchResult) -> str:
        """A row."""
        return self._line(
            {
                **field_values(result),
                "model": result.model.type,
                "size": _size(result.model.n_bytes),
                "params": _count(result.model.n_elements),
                "backend": result.backend,
                "test": result.case.name,
                "t/s": f"{result.avg_ts:.2f} ± {result.stddev_ts:.2f}",
            }
        )

    def footer(self) -> str:
        """An empty line, and what was measured."""
        return f"\nbuild: {BUILD_COMMIT} ({BUILD_NUMBER})\n"

    def _line(self, values: dict[str, str]) -> str:
        return f"| {' | '.join(_padded(values[name], _WIDTHS[name]) for name in self._columns)} |\n"


def _padded(text: str, width: int) -> str:
    return text.ljust(-width) if width < 0 else text.rjust(width)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.2f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:.2f} GiB"


def _count(n: int) -> str:
    return f"{n / 1e6:.2f} M" if n < 10**9 else f"{n / 1e9:.2f} B"
