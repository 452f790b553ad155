"""Options of llama.cpp that decide nothing here: taken, so that a command line goes on working, with a warning."""

from collections.abc import Mapping
from typing import Any

from pyggml.cli.sections import Decorated, section

_REASONS = {
    "threads_batch": "-t alone says how many threads there are, for prompts too",
    "flash_attn": "there is one kind of attention",
    "jinja": "chat templates are always jinja",
    "warmup": "there is no empty run beforehand",
    "simple_io": "input and output are always simple when they are no terminal",
    "cont_batching": "requests always share steps",
    "cache_reuse": "what prompts have in common at their beginnings is always computed once, and nothing else",
    "slot_prompt_similarity": "a prompt takes over what it shares with any other, whatever slot that had",
}

_option = section("Ignored")
_OPTIONS = (
    _option("threads_batch", "-tb", "--threads-batch", hidden=True),
    _option("flash_attn", "-fa", "--flash-attn", hidden=True),
    _option("jinja", "--jinja/--no-jinja", default=None, hidden=True),
    _option("warmup", "--warmup/--no-warmup", default=None, hidden=True),
    _option("simple_io", "--simple-io", is_flag=True, default=None, hidden=True),
)


_SERVER_OPTIONS = (
    *_OPTIONS[:-1],
    _option("cont_batching", "-cb/-nocb", "--cont-batching/--no-cont-batching", default=None, hidden=True),
    _option("cache_reuse", "--cache-reuse", hidden=True),
    _option("slot_prompt_similarity", "-sps", "--slot-prompt-similarity", hidden=True),
)


def ignored_options(function: Decorated) -> Decorated:
    """Add all of these options that llama-completion and llama-cli have."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def ignored_server_options(function: Decorated) -> Decorated:
    """Add all of these options that llama-server has."""
    for option in reversed(_SERVER_OPTIONS):
        function = option(function)
    return function


def explain_ignored(values: Mapping[str, Any]) -> list[str]:
    """Give a warning for each of these options that was given."""
    given = [(name, reason) for name, reason in _REASONS.items() if values.get(name) is not None]
    return [f"--{name.replace('_', '-')} has no effect: {reason}" for name, reason in given]
