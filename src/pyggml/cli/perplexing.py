"""What `pyggml perplexity` does once its options are known."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from pyggml.cli.chunk_progress import n_together, with_progress
from pyggml.cli.console import Console
from pyggml.cli.divergence_report import final_report, running_head, running_line
from pyggml.cli.loading import load_model
from pyggml.cli.measuring_text import TextOptions, read_text
from pyggml.cli.model_options import LoadOptions, ModelOptions
from pyggml.cli.model_source import locate_model
from pyggml.cli.perplexity import PerplexityOptions
from pyggml.errors import UsageError
from pyggml.evaluate.base_file import BaseFile, BaseFileWriter
from pyggml.evaluate.chunks import Chunks, chunk_bos, cut_chunks, strided_chunks, strided_length
from pyggml.evaluate.divergence import measure_divergence
from pyggml.evaluate.perplexity import Estimate, measure_perplexity
from pyggml.model import Model

#: Fewer tokens are not worth statistics.
_MIN_FOR_REPORT = 100


def measure(source: ModelOptions, load: LoadOptions, text: TextOptions, options: PerplexityOptions) -> None:
    """Print the perplexity, or the divergence; results go to stdout, all remarks to stderr. Raises PyggmlError."""
    check_context(load)
    _check(load, options)
    console = Console()
    if options.kl_divergence:
        _measure_divergence(console, source, load, text, options)
    else:
        _measure_perplexity(console, source, load, text, options)


def check_context(load: LoadOptions) -> None:
    """Raise UsageError if chunks would be too short."""
    if load.ctx_size < 3:
        raise UsageError(f"-c is {load.ctx_size}; allowed are 3 and up: a chunk needs tokens to foretell")


def _check(load: LoadOptions, options: PerplexityOptions) -> None:
    if options.kl_divergence and options.base_file is None:
        raise UsageError(
            "--kl-divergence needs a base model's probabilities: name their file, --kl-divergence-base FILE"
        )
    if options.ppl_stride and options.base_file is not None:
        raise UsageError("--ppl-stride and --kl-divergence-base exclude each other: give one of them")
    length = strided_length(load.ctx_size, options.ppl_stride)
    if options.ppl_stride >= length:
        raise UsageError(
            f"--ppl-stride is {options.ppl_stride}; allowed are 1 to {length - 1}, as chunks have {length} tokens"
        )


def _measure_perplexity(
    console: Console, source: ModelOptions, load: LoadOptions, text: TextOptions, options: PerplexityOptions
) -> None:
    content = read_text(text)
    if content is None:
        raise UsageError("there is no text to measure on: give one with -f FILE or -p TEXT")
    n_ctx, stride = load.ctx_size, options.ppl_stride
    length = strided_length(n_ctx, stride) if stride else n_ctx
    model = load_measured(console, source, replace(load, ctx_size=length))
    tokens, bos = model.tokenizer.tokenize(content), chunk_bos(model.tokenizer)
    chunks = (
        strided_chunks(tokens, n_ctx, stride, text.chunks) if stride else cut_chunks(tokens, n_ctx, text.chunks, bos)
    )
    console.remark(f"{len(tokens)} tokens: {chunks.n_chunks} chunks of {length}, {len(chunks.scored)} scored in each")
    estimate = None
    n_batch = n_together(load, length)
    with _base_writer(options, chunks, model) as base:
        estimates = measure_perplexity(model.engine, chunks, n_batch, base)
        for estimate in with_progress(estimates, console, chunks.n_chunks, n_batch):
            console.write(_running(estimate, chunks, options, n_batch))
    console.write("\n")
    if estimate is not None and not stride:
        console.write(final_estimate(estimate) + "\n")


def _base_writer(
    options: PerplexityOptions, chunks: Chunks, model: Model
) -> AbstractContextManager[BaseFileWriter | None]:
    if options.base_file is None:
        return nullcontext()
    return BaseFileWriter(options.base_file, chunks, model.config.n_vocab)


def load_measured(console: Console, source: ModelOptions, load: LoadOptions) -> Model:
    """Load a model with room for as many chunks of the context's size as a batch holds."""
    model = load_model(locate_model(source), load, console, n_sequences=n_together(load, load.ctx_size)).model
    if load.ctx_size > model.n_ctx_train:
        console.warn(
            f"chunks of {load.ctx_size} tokens are longer than the {model.n_ctx_train} that the model was trained with"
        )
    return model


def running_estimate(estimate: Estimate) -> str:
    """The perplexity after some chunks, as llama.cpp's tools print it."""
    return f"[{estimate.n_chunks}]{estimate.perplexity:.4f},"


def final_estimate(estimate: Estimate) -> str:
    """The perplexity of all chunks with its error."""
    error = "unknown" if estimate.error is None else f"{estimate.error:.5f}"
    return f"Final estimate: PPL = {estimate.perplexity:.4f} +/- {error}"


def _running(estimate: Estimate, chunks: Chunks, options: PerplexityOptions, n_sequences: int) -> str:
    if not options.ppl_output_type:
        return running_estimate(estimate)
    index = estimate.n_chunks - 1
    if options.ppl_stride:
        return f"{index * options.ppl_stride:8d}  {estimate.perplexity:.4f}\n"
    # The first token of the batch that the chunk was in.
    start = index // n_sequences * n_sequences * chunks.n_ctx
    return f"{start:8d}  {estimate.perplexity:.4f}  {estimate.mean:4f}  {estimate.mean_error or 0:4f}\n"


def _measure_divergence(
    console: Console, source: ModelOptions, load: LoadOptions, text: TextOptions, options: PerplexityOptions
) -> None:
    if text.file is not None or text.prompt is not None:
        console.warn("the text is left aside: --kl-divergence takes that of the base model's file")
    base = BaseFile(options.base_file or "")
    load = replace(load, ctx_size=base.n_ctx)
    model = load_measured(console, source, load)
    base.check_vocabulary(model.config.n_vocab)
    chunks = base.chunks(text.chunks, chunk_bos(model.tokenizer))
    console.remark(f"{chunks.n_chunks} chunks of {chunks.n_ctx} tokens, {len(chunks.scored)} scored in each")
    console.write(f"\n{running_head()}\n")
    n_batch = n_together(load, chunks.n_ctx)
    results = measure_divergence(model.engine, chunks, n_batch, base)
    latest = None
    for latest in with_progress(results, console, chunks.n_chunks, n_batch):
        console.write(running_line(latest[0]) + "\n")
    console.write("\n")
    if latest is not None and latest[1].count >= _MIN_FOR_REPORT:
        console.write(final_report(*latest) + "\n")
