"""What `pyggml convert` does once its options are read."""

import time
from collections.abc import Sequence

import click

from pyggml.cli.convert import ConvertArguments
from pyggml.cli.write_progress import WriteProgress
from pyggml.convert import OUTPUT_TYPES, ConvertOptions, ShardLimits, plan_conversion
from pyggml.convert.quantized import plan_source, write_converted_and_quantized
from pyggml.errors import UsageError
from pyggml.gguf.splitting import PlannedShard, write_shards
from pyggml.gguf.types import type_name
from pyggml.quantize import FILE_TYPES, FileType, read_importance
from pyggml_kernels.threads import available_cores

_AUTO = "AUTO"


def convert(arguments: ConvertArguments) -> None:
    """Convert a checkpoint as the command line says; what is found goes to stdout, remarks and progress to stderr."""
    file_type = _file_type(arguments)
    options = _options(arguments, file_type)
    start = time.perf_counter()
    if file_type is not None:
        planned = [plan_source(arguments.folder, arguments.outfile, file_type, options)]
    else:
        planned = plan_conversion(arguments.folder, arguments.outfile, options)
    if arguments.dry_run:
        _show(planned)
        return
    for each in planned:
        click.echo(f"converting {arguments.folder} to {each.path}", err=True)
        with WriteProgress() as progress:
            if file_type is not None:
                importance = read_importance(arguments.imatrix) if arguments.imatrix else None
                n_threads = arguments.threads or available_cores()
                write_converted_and_quantized(each, file_type, importance, n_threads, progress, progress.compiling)
            else:
                write_shards([each], progress)
        click.echo(f"{each.path}: {len(each.tensors)} tensors, {each.path.stat().st_size / 1e6:.1f} MB")
    click.echo(f"convert time = {time.perf_counter() - start:.2f} s", err=True)


def _file_type(arguments: ConvertArguments) -> FileType | None:
    """The type of `pyggml quantize`, unless converting alone gets there. Raises UsageError."""
    name = arguments.outtype.upper()
    known = FILE_TYPES.get(name)
    if name != _AUTO and name not in OUTPUT_TYPES and (known is None or known.is_copy):
        allowed = ["auto", *(each.lower() for each in (*OUTPUT_TYPES, *FILE_TYPES) if each != "COPY")]
        raise UsageError(f"--outtype {arguments.outtype!r} is unknown; allowed are {', '.join(dict.fromkeys(allowed))}")
    if known is not None and name not in OUTPUT_TYPES:
        return known
    if arguments.imatrix is not None:
        raise UsageError(f"--imatrix is for types of pyggml quantize; --outtype {arguments.outtype} has no use for it")
    return None


def _options(arguments: ConvertArguments, file_type: FileType | None) -> ConvertOptions:
    name = arguments.outtype.upper()
    return ConvertOptions(
        output_type=None if file_type or name == _AUTO else name,
        is_vision=arguments.mmproj,
        is_vocabulary_only=arguments.vocab_only,
        metadata=arguments.metadata,
        name=arguments.model_name,
        pre_tokenizer=arguments.pre_tokenizer,
        limits=ShardLimits(arguments.split_max_tensors, arguments.split_max_size or 0, arguments.no_tensor_first_split),
    )


def _show(planned: Sequence[PlannedShard]) -> None:
    """A line for each file, and for each tensor its shape and type before any quantizing."""
    for shard in planned:
        click.echo(f"{shard.path}: {len(shard.tensors)} tensors, {shard.n_bytes / 1e6:.1f} MB")
        for tensor in shard.tensors:
            shape = " x ".join(map(str, tensor.shape))
            click.echo(f"{tensor.name:36} [{shape:>18}]  {type_name(tensor.type_id)}")
