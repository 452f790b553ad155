"""What `pyggml imatrix` does once its options are known."""

from dataclasses import replace
from pathlib import Path

from pyggml.cli.chunk_progress import n_together, with_progress
from pyggml.cli.console import Console
from pyggml.cli.imatrix import ImportanceOptions
from pyggml.cli.measuring_text import TextOptions, read_text
from pyggml.cli.model_options import LoadOptions, ModelOptions
from pyggml.cli.parameter_types import AUTO
from pyggml.cli.perplexing import check_context, final_estimate, load_measured, running_estimate
from pyggml.errors import EvaluationError, UsageError
from pyggml.evaluate.chunks import chunk_bos, cut_chunks, without_first
from pyggml.evaluate.importance import MIN_ROWS, ImportanceMatrix, combined, measure_importance
from pyggml.quantize.importance_file import read_importance_file, write_importance_gguf, write_importance_legacy


def measure(source: ModelOptions, load: LoadOptions, text: TextOptions, options: ImportanceOptions) -> None:
    """Measure, or combine files, and write the result. Raises PyggmlError."""
    check_context(load)
    console = Console()
    content = read_text(text)
    if content is None and not options.in_file:
        raise UsageError("there is nothing to measure on: give a text with -f FILE or -p TEXT, or files with --in-file")
    if options.output_format is None and options.output.suffix != ".gguf":
        console.warn(f"{options.output} will be a GGUF file: --output-format dat writes the older format")
    files = [(str(path), read_importance_file(str(path))) for path in options.in_file]
    matrix = combined(files, load.ctx_size)
    sizes = sorted({file.chunk_size for _, file in files if file.chunk_size})
    if len(sizes) > 1:
        console.warn(
            f"the files were measured on chunks of {', '.join(map(str, sizes))} tokens: their number will be told in "
            f"chunks of {matrix.chunk_size}"
        )
    output = _Output(options, matrix, console)
    if content is not None:
        if text.file is not None:
            matrix.datasets.append(str(text.file))
        _measure(console, source, load, text, options, content, output)
    if not matrix.entries:
        raise EvaluationError(
            f"nothing was measured: needed are --chunks 1 and up, and steps of {MIN_ROWS} tokens and up (-b, -ub), as "
            "single tokens do not count"
        )
    output.write()
    console.remark(
        f"{options.output}: importance of {len(matrix.entries)} tensors, measured on {matrix.n_chunks} chunks"
    )


class _Output:
    """The files that are written, in the course of the work and at its end."""

    def __init__(self, options: ImportanceOptions, matrix: ImportanceMatrix, console: Console) -> None:
        self.matrix = matrix
        self._options = options
        self._console = console
        self._n_chunks = matrix.n_chunks

    def update(self) -> None:
        """Write what is due since the last call, by llama-imatrix's rule."""
        n_chunks = self.matrix.n_chunks
        step, self._n_chunks = n_chunks - self._n_chunks, n_chunks
        if step <= 0:
            return
        if n_chunks % self._options.output_frequency // step == 0:
            self.write()
        if self._options.save_frequency and n_chunks % self._options.save_frequency // step == 0:
            self._write(self._options.output.with_name(f"{self._options.output.name}.at_{n_chunks}"))

    def write(self) -> None:
        """Write the file."""
        self._write(self._options.output)

    def _write(self, path: Path) -> None:
        write = write_importance_legacy if self._options.output_format == "dat" else write_importance_gguf
        write(str(path), self.matrix.file)


def _measure(
    console: Console,
    source: ModelOptions,
    load: LoadOptions,
    text: TextOptions,
    options: ImportanceOptions,
    content: bytes,
    output: _Output,
) -> None:
    if load.gpu_layers == AUTO:
        load = replace(load, gpu_layers=0)  # inputs of weights are summed up on the CPU alone
    model = load_measured(console, source, load)
    n_ctx, bos = load.ctx_size, chunk_bos(model.tokenizer)
    tokens = model.tokenizer.tokenize(content, parse_special=options.parse_special)
    chunks = cut_chunks(without_first(tokens, n_ctx, options.from_chunk), n_ctx, text.chunks, bos)
    console.remark(f"{len(tokens)} tokens: {chunks.n_chunks} chunks of {n_ctx} are measured")
    n_batch = n_together(load, n_ctx)
    estimates = measure_importance(
        model.engine,
        chunks,
        n_batch,
        output.matrix,
        with_output=options.process_output,
        with_perplexity=options.ppl,
    )
    estimate = None
    for estimate in with_progress(estimates, console, chunks.n_chunks, n_batch):
        output.update()
        if estimate is not None:
            console.write(running_estimate(estimate))
    if estimate is not None:
        console.write(f"\n{final_estimate(estimate)}\n")
