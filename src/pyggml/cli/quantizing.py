"""What `pyggml quantize` does once its options are read."""

import time
from collections import Counter
from pathlib import Path

import click

from pyggml.cli.format_tables import formats_of
from pyggml.cli.quantize import QuantizeArguments
from pyggml.cli.quantize_values import key_override, positional, tensor_pattern, tensor_patterns_of
from pyggml.cli.write_progress import WriteProgress
from pyggml.errors import UsageError
from pyggml.formats import Formats
from pyggml.gguf import GGUFFile
from pyggml.quantize import (
    FileType,
    Importance,
    QuantizeOptions,
    QuantizePlan,
    TypeOptions,
    file_type_named,
    plan_quantization,
    read_importance,
    write_quantized,
)
from pyggml.quantize.file_types import OwnTypes, tensor_type_named
from pyggml_kernels.threads import available_cores

_MIB = 2**20


def quantize(arguments: QuantizeArguments) -> None:
    """Quantize a file as the command line says; results go to stdout, remarks and progress to stderr."""
    formats = formats_of(arguments.format_file)
    source, target, type_name, n_threads = positional(arguments.arguments, formats.own_types)
    file_type = file_type_named(type_name, formats.own_types)
    options = _options(arguments, formats)
    path = target or _default_target(source, file_type)
    with GGUFFile.open(source) as file:
        plan = plan_quantization(file, path, file_type, options)
        if arguments.dry_run:
            _show_tensors(plan)
            _show_sizes(plan)
            if plan.lacks_importance and options.importance is None:
                click.echo("this file type will need an importance matrix: --imatrix FILE", err=True)
            return
        click.echo(f"quantizing {source} to {path} as {file_type.name}", err=True)
        start = time.perf_counter()
        with WriteProgress() as progress:
            write_quantized(plan, n_threads or available_cores(), progress, progress.compiling)
        _show_sizes(plan)
        click.echo(f"quantize time = {time.perf_counter() - start:.2f} s", err=True)


def _options(arguments: QuantizeArguments, formats: Formats) -> QuantizeOptions:
    own = formats.own_types
    patterns = [tensor_pattern(each, own) for each in arguments.tensor_type]
    if arguments.tensor_type_file is not None:
        patterns += tensor_patterns_of(arguments.tensor_type_file, own)
    types = TypeOptions(
        is_pure=arguments.pure,
        leaves_output=arguments.leave_output_tensor,
        output_type=_type_name(arguments.output_tensor_type, own),
        token_embedding_type=_type_name(arguments.token_embedding_type, own),
        patterns=tuple(patterns),
    )
    return QuantizeOptions(
        types,
        _importance(arguments),
        tuple(key_override(each) for each in arguments.override_kv),
        arguments.allow_requantize,
        arguments.keep_split,
        formats,
    )


def _type_name(given: str | None, own: OwnTypes) -> str | None:
    return None if given is None else tensor_type_named(given, own).name


def _importance(arguments: QuantizeArguments) -> Importance | None:
    if arguments.include_weights and arguments.exclude_weights:
        raise UsageError("--include-weights and --exclude-weights exclude each other: give one of them")
    if arguments.imatrix is None:
        if arguments.include_weights or arguments.exclude_weights:
            raise UsageError("--include-weights and --exclude-weights choose from an importance matrix: add --imatrix")
        return None
    importance = read_importance(arguments.imatrix)
    datasets = f", of {', '.join(importance.datasets)}" if importance.datasets else ""
    click.echo(
        f"{arguments.imatrix}: importance of {len(importance.columns)} tensors, "
        f"measured on {importance.n_chunks} chunks{datasets}",
        err=True,
    )
    if arguments.exclude_weights:
        return importance.without(arguments.exclude_weights)
    return importance.only(arguments.include_weights) if arguments.include_weights else importance


def _default_target(source: Path, file_type: FileType) -> Path:
    return source.with_name(f"ggml-model-{file_type.name}.gguf")


def _show_tensors(plan: QuantizePlan) -> None:
    """A line for each tensor: its shape, its type and size now and then."""
    for each in plan.tensors:
        shape = " x ".join(map(str, each.info.shape))
        change = f"{each.info.type_name} -> {each.target.name}" if each.is_converted else each.info.type_name
        click.echo(
            f"{each.info.name:36} [{shape:>18}]  {change:18} {_mib(each.info.n_bytes or 0)} -> {_mib(each.n_bytes)}"
        )


def _show_sizes(plan: QuantizePlan) -> None:
    tensors = plan.tensors
    n_weights = sum(each.info.n_elements for each in tensors)
    counts = Counter(each.target.name for each in tensors)
    click.echo(f"tensors: {', '.join(f'{count} {name}' for name, count in counts.most_common())}")
    before, after = (
        sum(each.info.n_bytes or 0 for each in tensors),
        sum(each.n_bytes for each in tensors),
    )
    for what, n_bytes in (("model size", before), ("quant size", after)):
        click.echo(f"{what}  = {_mib(n_bytes)} ({8 * n_bytes / max(1, n_weights):.2f} BPW)")


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / _MIB:8.2f} MiB"
