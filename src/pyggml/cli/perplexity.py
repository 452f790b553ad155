"""`pyggml perplexity`: how well a model foretells a text, and how far it is from another model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pyggml.cli.measuring_text import TextOptions, text_options
from pyggml.cli.model_options import LoadOptions, ModelOptions, measuring_options, take
from pyggml.cli.sections import SectionCommand, debug_option, section

_measuring = section("Perplexity and divergence")


@dataclass(frozen=True)
class PerplexityOptions:
    """What is measured, and how it is shown."""

    ppl_stride: int
    ppl_output_type: int
    base_file: Path | None
    kl_divergence: bool


@click.command(
    "perplexity", cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@text_options
@_measuring(
    "ppl_stride",
    "--ppl-stride",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    default_text="0, chunks side by side",
    help="Let chunks begin N tokens apart, and score the last N of each.",
)
@_measuring(
    "ppl_output_type",
    "--ppl-output-type",
    type=click.IntRange(0, 1),
    default=0,
    metavar="0|1",
    default_text="0",
    help="1: a line for each chunk, with the mean -ln of probabilities and its error.",
)
@_measuring(
    "base_file",
    "--kl-divergence-base",
    "--save-all-logits",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all probabilities to this file; with --kl-divergence, read a base model's from it.",
)
@_measuring(
    "kl_divergence",
    "--kl-divergence",
    is_flag=True,
    help="Compare with the base model; the text is that of its file.",
)
@measuring_options
@debug_option
def perplexity_command(**values: Any) -> None:
    """Measure a model's perplexity on a text, chunk by chunk, or its divergence from a base model.

    \b
    pyggml perplexity -m model.gguf -f text.txt
    pyggml perplexity -m model-f16.gguf -f text.txt --kl-divergence-base base.bin
    pyggml perplexity -m model-q4_k_m.gguf --kl-divergence-base base.bin --kl-divergence
    """
    # Imported here, so that --help needs neither NumPy nor Numba.
    from pyggml.cli.perplexing import measure

    measure(
        take(ModelOptions, values),
        take(LoadOptions, values),
        take(TextOptions, values),
        take(PerplexityOptions, values),
    )
