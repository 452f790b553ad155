"""Which model, and how it is loaded: the options, and what they came to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pyggml.cli.parameter_types import ALL, AUTO, DEVICE_NAMES, GPU_LAYERS, OVERRIDES, SHARES
from pyggml.cli.sections import Decorated, section

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0")
#: Tokens of the chunks that texts are cut into, by default.
DEFAULT_CHUNK = 512

Options = TypeVar("Options", bound="DataclassInstance")


@dataclass(frozen=True)
class ModelOptions:
    """Where the model comes from; none given: the one inside the package."""

    model: Path | None
    model_url: str | None
    hf_repo: str | None
    hf_file: str | None
    hf_token: str | None
    modelscope: str | None
    offline: bool


@dataclass(frozen=True)
class LoadOptions:
    """The context, its cache, batches, threads, layers on GPUs, which GPUs, and formats of one's own."""

    ctx_size: int
    batch_size: int
    ubatch_size: int
    cache_type_k: str
    cache_type_v: str
    threads: int
    gpu_layers: int | str
    device: tuple[str, ...] | None = None
    split_mode: str = "layer"
    main_gpu: int = 0
    tensor_split: tuple[float, ...] | None = None
    override_tensor: tuple[tuple[tuple[str, str], ...], ...] = ()
    kv_offload: bool = True
    format_file: tuple[Path, ...] = ()


def take(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Make one of the dataclasses of options from the parameters of a command that bear its fields' names."""
    return kind(**{field.name: values[field.name] for field in fields(kind)})


_model = section("Model")
_loading = section("Context, memory, threads")

#: For every command that reads weights; commands without sections take it as well.
format_file_option = _model(
    "format_file",
    "--format-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    envvar="PYGGML_FORMAT_FILE",
    help="Run this Python file, which defines formats of weights. May be given again.",
)


def _context_option(default: int, default_text: str) -> Callable[[Decorated], Decorated]:
    return _loading(
        "ctx_size",
        "-c",
        "--ctx-size",
        type=click.IntRange(0),
        default=default,
        metavar="N",
        default_text=default_text,
        help="Tokens of the context.",
    )


_SOURCE_OPTIONS = (
    _model(
        "model",
        "-m",
        "--model",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default_text="the small model inside the package",
        help="The GGUF file, or any shard of a split one.",
    ),
    _model("model_url", "-mu", "--model-url", metavar="URL", help="Download this file, or take it from the cache."),
    _model(
        "hf_repo",
        "-hf",
        "-hfr",
        "--hf-repo",
        metavar="USER/REPO[:QUANT]",
        help="Download from Hugging Face; without QUANT: Q4_K_M, else Q8_0, else the first.",
    ),
    _model("hf_file", "-hff", "--hf-file", metavar="FILE", help="The file in the repository, instead of QUANT."),
    _model(
        "hf_token",
        "-hft",
        "--hf-token",
        metavar="TOKEN",
        default_text="the environment's HF_TOKEN",
        help="The access token for Hugging Face.",
    ),
    _model("modelscope", "--modelscope", metavar="USER/REPO[:QUANT]", help="Download from ModelScope."),
    _model("offline", "--offline", is_flag=True, help="Take downloads from the cache alone."),
)

_LOAD_OPTIONS = (
    _loading(
        "batch_size",
        "-b",
        "--batch-size",
        type=click.IntRange(1),
        default=2048,
        metavar="N",
        default_text="2048",
        help="Tokens of a prompt taken on at once.",
    ),
    _loading(
        "ubatch_size",
        "-ub",
        "--ubatch-size",
        type=click.IntRange(1),
        default=512,
        metavar="N",
        default_text="512",
        help="Tokens of a prompt computed at once.",
    ),
    _loading(
        "cache_type_k",
        "-ctk",
        "--cache-type-k",
        type=click.Choice(CACHE_TYPES),
        default="f16",
        default_text="f16",
        help="Type of the cache's keys.",
    ),
    _loading(
        "cache_type_v",
        "-ctv",
        "--cache-type-v",
        type=click.Choice(CACHE_TYPES),
        default="f16",
        default_text="f16",
        help="Type of the cache's values.",
    ),
    _loading(
        "threads",
        "-t",
        "--threads",
        type=int,
        default=-1,
        metavar="N",
        default_text="-1, all cores",
        help="Threads that compute.",
    ),
    _loading(
        "gpu_layers",
        "-ngl",
        "--gpu-layers",
        "--n-gpu-layers",
        type=GPU_LAYERS,
        metavar="N",
        default=AUTO,
        default_text="auto",
        help=f"Layers on GPUs: a number, {AUTO!r} or {ALL!r}.",
    ),
    _loading(
        "device",
        "-dev",
        "--device",
        type=DEVICE_NAMES,
        metavar="NAME,...",
        default_text="all",
        help="The GPUs to use, such as CUDA0,CUDA1, or 'none': see pyggml devices.",
    ),
    _loading(
        "split_mode",
        "-sm",
        "--split-mode",
        metavar="MODE",
        default="layer",
        default_text="layer",
        help="'layer': GPUs share the layers; 'none': one GPU has all of them.",
    ),
    _loading(
        "main_gpu",
        "-mg",
        "--main-gpu",
        type=int,
        metavar="N",
        default=0,
        default_text="0",
        help="Which of the GPUs has all layers, with -sm none.",
    ),
    _loading(
        "tensor_split",
        "-ts",
        "--tensor-split",
        type=SHARES,
        metavar="N,...",
        default_text="by free memory",
        help="Each GPU's share of the layers, such as 3,1.",
    ),
    _loading(
        "override_tensor",
        "-ot",
        "--override-tensor",
        type=OVERRIDES,
        multiple=True,
        metavar="PATTERN=NAME,...",
        help="Weights with such names (regular expressions) lie on this device: CPU, CUDA0. May be given again.",
    ),
    _loading(
        "kv_offload",
        "-kvo/-nkvo",
        "--kv-offload/--no-kv-offload",
        default=True,
        default_text="on",
        help="Keep keys and values on the GPU of their layer, or in main memory.",
    ),
    format_file_option,
)


def model_options(function: Decorated) -> Decorated:
    """Add all of these options."""
    return _added(function, _context_option(0, "0, as the model was trained"))


def measuring_options(function: Decorated) -> Decorated:
    """The same for commands that measure: their texts are cut into chunks of one context, 512 tokens by default."""
    return _added(function, _context_option(DEFAULT_CHUNK, str(DEFAULT_CHUNK)))


def _added(function: Decorated, context_option: Callable[[Decorated], Decorated]) -> Decorated:
    for option in reversed((*_SOURCE_OPTIONS, context_option, *_LOAD_OPTIONS)):
        function = option(function)
    return function
