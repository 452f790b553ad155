"""Parameters of llama-bench that decide nothing here: taken, so that a command line goes on working, with a warning."""

from collections.abc import Mapping
from typing import Any

from pyggml.cli.sections import Decorated, section

_PLACEMENT = "the operating system places the threads"
_READING = "files are mapped, and read when they are needed"
_NAMES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "numa": (("--numa",), _PLACEMENT),
    "prio": (("--prio",), _PLACEMENT),
    "cpu_mask": (("-C", "--cpu-mask"), _PLACEMENT),
    "cpu_strict": (("--cpu-strict",), _PLACEMENT),
    "poll": (("--poll",), "idle threads sleep"),
    "n_cpu_moe": (("-ncmoe", "--n-cpu-moe"), "mixtures of experts are not supported"),
    "no_op_offload": (("-nopo", "--no-op-offload"), "operations are computed where their weights are"),
    "no_host": (("--no-host",), "weights in main memory are where the file is mapped, or in tiles"),
    "load_mode": (("-lm", "--load-mode"), _READING),
    "lazy_mode": (("-lzm", "--lazy-mode"), _READING),
    "repack": (("--repack",), "weights have one layout in memory"),
    "fit_target": (("-fitt", "--fit-target"), "nothing is fitted to a device's memory"),
    "fit_min_ctx": (("-fitc", "--fit-ctx"), "nothing is fitted to a device's memory"),
}

_option = section("Ignored")


def ignored_parameters(function: Decorated) -> Decorated:
    """Add all of these options."""
    for name, (names, _) in _NAMES.items():
        function = _option(name, *names, hidden=True)(function)
    return function


def explain_ignored_parameters(values: Mapping[str, Any]) -> list[str]:
    """Give a warning for each of these options that was given."""
    return [
        f"{names[-1]} has no effect: {reason}" for name, (names, reason) in _NAMES.items() if values[name] is not None
    ]
