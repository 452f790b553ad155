"""`pyggml bench`: how fast models are, with the options and the output of llama-bench."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from pyggml.cli.bench_ignored import explain_ignored_parameters, ignored_parameters
from pyggml.cli.bench_values import (
    cache_types,
    device_lists,
    flash_attention,
    layers,
    numbers,
    override_lists,
    pair,
    share_lists,
    split_modes,
    switches,
)
from pyggml.cli.model_options import take
from pyggml.cli.sections import Decorated, SectionCommand, debug_option, section

FORMATS = ("md", "csv", "json", "jsonl", "sql", "none")


@dataclass(frozen=True)
class BenchArguments:
    """What the command line says; each parameter has the values of each time that its option was given."""

    model: tuple[str, ...]
    hf_repo: tuple[str, ...]
    hf_file: tuple[str, ...]
    hf_token: str | None
    offline: bool
    n_prompt: tuple[tuple[int, ...], ...]
    n_gen: tuple[tuple[int, ...], ...]
    n_prompt_gen: tuple[tuple[int, int], ...]
    n_depth: tuple[tuple[int, ...], ...]
    n_batch: tuple[tuple[int, ...], ...]
    n_ubatch: tuple[tuple[int, ...], ...]
    type_k: tuple[tuple[str, ...], ...]
    type_v: tuple[tuple[str, ...], ...]
    n_threads: tuple[tuple[int, ...], ...]
    n_gpu_layers: tuple[tuple[int, ...], ...]
    split_mode: tuple[tuple[str, ...], ...]
    main_gpu: tuple[tuple[int, ...], ...]
    devices: tuple[tuple[tuple[str, ...] | None, ...], ...]
    tensor_split: tuple[tuple[tuple[float, ...], ...], ...]
    tensor_buft_overrides: tuple[tuple[tuple[tuple[str, str], ...], ...], ...]
    no_kv_offload: tuple[tuple[int, ...], ...]
    flash_attn: tuple[tuple[int, ...], ...]
    repetitions: int
    delay: int
    output: str
    output_err: str
    progress: bool
    no_warmup: bool
    verbose: bool


_test = section("Tests")
_model = section("Model")
_run = section("Runs and output")


def _list(name: str, *names: str, metavar: str, kind: Callable[[str], object], default: str, help_text: str) -> Any:
    return _test(name, *names, type=kind, multiple=True, metavar=metavar, default_text=default, help=help_text)


_OPTIONS = (
    _model(
        "model",
        "-m",
        "--model",
        multiple=True,
        metavar="FILE,...",
        default_text="the small model inside the package",
        help="GGUF files.",
    ),
    _model(
        "hf_repo", "-hf", "-hfr", "--hf-repo", multiple=True, metavar="USER/REPO[:QUANT]", help="From Hugging Face."
    ),
    _model("hf_file", "-hff", "--hf-file", multiple=True, metavar="FILE", help="The file in it, instead of QUANT."),
    _model("hf_token", "-hft", "--hf-token", metavar="TOKEN", help="The access token; else HF_TOKEN's."),
    _model("offline", "--offline", is_flag=True, help="Take downloads from the cache alone."),
    _list(
        *("n_prompt", "-p", "--n-prompt"),
        metavar="N,...",
        kind=numbers,
        default="512",
        help_text="Tokens read at once.",
    ),
    _list(
        *("n_gen", "-n", "--n-gen"), metavar="N,...", kind=numbers, default="128", help_text="Tokens read one by one."
    ),
    _test("n_prompt_gen", "-pg", type=pair, multiple=True, metavar="P,N", help="A test of both, one after the other."),
    _list(
        *("n_depth", "-d", "--n-depth"),
        metavar="N,...",
        kind=numbers,
        default="0",
        help_text="Tokens that are in the cache before.",
    ),
    _list(
        *("n_batch", "-b", "--batch-size"),
        metavar="N,...",
        kind=numbers,
        default="2048",
        help_text="Tokens of a prompt taken on at once.",
    ),
    _list(
        *("n_ubatch", "-ub", "--ubatch-size"),
        metavar="N,...",
        kind=numbers,
        default="512",
        help_text="Tokens of a prompt computed at once.",
    ),
    _list(
        *("type_k", "-ctk", "--cache-type-k"),
        metavar="TYPE,...",
        kind=cache_types,
        default="f16",
        help_text="Type of the cache's keys: f32, f16, bf16, q8_0.",
    ),
    _list(
        *("type_v", "-ctv", "--cache-type-v"),
        metavar="TYPE,...",
        kind=cache_types,
        default="f16",
        help_text="Type of its values.",
    ),
    _list(
        *("n_threads", "-t", "--threads"),
        metavar="N,...",
        kind=numbers,
        default="all cores",
        help_text="Threads that compute.",
    ),
    _list(
        *("n_gpu_layers", "-ngl", "--n-gpu-layers", "--gpu-layers"),
        metavar="N,...",
        kind=layers,
        default="-1, as many as fit",
        help_text="Layers on GPUs.",
    ),
    _list(
        *("devices", "-dev", "--device"),
        metavar="NAME/...,...",
        kind=device_lists,
        default="auto, all",
        help_text="The GPUs to use, such as CUDA0/CUDA1, or 'none'.",
    ),
    _list(
        *("split_mode", "-sm", "--split-mode"),
        metavar="MODE,...",
        kind=split_modes,
        default="layer",
        help_text="'layer': GPUs share the layers; 'none': one GPU has all of them.",
    ),
    _list(
        *("main_gpu", "-mg", "--main-gpu"),
        metavar="N,...",
        kind=numbers,
        default="0",
        help_text="Which of the GPUs has all layers, with -sm none.",
    ),
    _list(
        *("tensor_split", "-ts", "--tensor-split"),
        metavar="N/...,...",
        kind=share_lists,
        default="by free memory",
        help_text="Each GPU's share of the layers, such as 3/1.",
    ),
    _list(
        *("tensor_buft_overrides", "-ot", "--override-tensor"),
        metavar="PATTERN=NAME;...,...",
        kind=override_lists,
        default="none",
        help_text="Weights with such names lie on this device.",
    ),
    _list(
        *("no_kv_offload", "-nkvo", "--no-kv-offload"),
        metavar="0|1",
        kind=switches,
        default="0",
        help_text="Whether keys and values stay in main memory.",
    ),
    _list(
        *("flash_attn", "-fa", "--flash-attn"),
        metavar="on|off|auto",
        kind=flash_attention,
        default="auto",
        help_text="Shown in the table; there is one kind of attention.",
    ),
    _run(
        "repetitions",
        "-r",
        "--repetitions",
        type=click.IntRange(1),
        default=5,
        default_text="5",
        metavar="N",
        help="Runs of each test.",
    ),
    _run("delay", "--delay", type=click.IntRange(0), default=0, metavar="N", help="Seconds of rest before each test."),
    _run("no_warmup", "--no-warmup", is_flag=True, help="Let the first run count; it may compile kernels."),
    _run(
        "output",
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="md",
        default_text="md",
        help="Format on stdout.",
    ),
    _run("output_err", "-oe", "--output-err", type=click.Choice(FORMATS), default="none", help="Format on stderr."),
    _run("progress", "--progress", is_flag=True, help="Say what is being done."),
    _run("verbose", "-v", "--verbose", is_flag=True, help="Say more."),
)


def _bench_options(function: Decorated) -> Decorated:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(
    "bench", cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@_bench_options
@ignored_parameters
@debug_option
def bench_command(**values: Any) -> None:
    """Measure how many tokens a second a model reads and generates.

    Every combination of the values of all parameters is a test. Lists have commas, or the option is given again;
    1-8 is a range, 1-8+2 one with steps of 2, 1-8*2 one of doubles. Tokens are random; nothing is sampled.

    \b
    pyggml bench -m model.gguf
    pyggml bench -m small.gguf,large.gguf -p 128,512 -n 32 -t 1-8*2
    pyggml bench -m model.gguf -d 0,4096 -ctk f16,q8_0 -o json
    """
    # Imported here, so that --help needs neither NumPy nor Numba.
    from pyggml.cli.benching import bench

    bench(take(BenchArguments, values), explain_ignored_parameters(values))
