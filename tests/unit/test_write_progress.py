"""The bar that shows how much of a file is written."""

import io

from rich.console import Console

from pyggml.cli.write_progress import WriteProgress


def test_a_terminal_shows_the_tensor_and_the_bytes() -> None:
    out = io.StringIO()
    with WriteProgress(Console(file=out, force_terminal=True, width=100)) as progress:
        progress("blk.0.attn_v.weight", 3_000_000, 10_000_000)
        progress("blk.[b]1.weight", 10_000_000, 10_000_000)
    assert "blk.[b]1.weight" in out.getvalue()
    assert "10.0/10.0 MB" in out.getvalue()


def test_without_a_terminal_nothing_is_shown() -> None:
    out = io.StringIO()
    with WriteProgress(Console(file=out, force_terminal=False)) as progress:
        progress("a", 1, 2)
    assert not out.getvalue().strip()


def test_compilation_is_told_once_without_a_terminal() -> None:
    out = io.StringIO()
    with WriteProgress(Console(file=out, force_terminal=False)) as progress:
        progress.compiling("quantize_q4_k")
        progress.compiling("quantize_q6_k")
    assert out.getvalue().strip() == "compiling kernels for this machine (once)"


def test_a_terminal_shows_what_is_compiled() -> None:
    out = io.StringIO()
    with WriteProgress(Console(file=out, force_terminal=True, width=100)) as progress:
        progress.compiling("quantize_q4_k")
    assert "compiling quantize_q4_k (once)" in out.getvalue()
