"""`pyggml quantize`: a model in another format, with the options and the bytes of llama-quantize."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pyggml.cli.model_options import format_file_option, take
from pyggml.cli.sections import debug_option

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True)
class QuantizeArguments:
    """What the command line says, word by word."""

    arguments: tuple[str, ...]
    imatrix: str | None
    include_weights: tuple[str, ...]
    exclude_weights: tuple[str, ...]
    pure: bool
    leave_output_tensor: bool
    output_tensor_type: str | None
    token_embedding_type: str | None
    tensor_type: tuple[str, ...]
    tensor_type_file: Path | None
    allow_requantize: bool
    keep_split: bool
    override_kv: tuple[str, ...]
    dry_run: bool
    format_file: tuple[Path, ...]


@click.command("quantize", context_settings={"max_content_width": 100})
@click.argument("arguments", metavar="IN [OUT] TYPE [THREADS]", nargs=-1, required=True)
@click.option("--imatrix", metavar="FILE", help="An importance matrix, as llama-imatrix writes it.")
@click.option(
    "--include-weights", metavar="PART", multiple=True, help="Use it for tensors with this in their name only."
)
@click.option("--exclude-weights", metavar="PART", multiple=True, help="Do not use it for these tensors.")
@click.option("--pure", is_flag=True, help="One type for all tensors instead of a mixture.")
@click.option("--leave-output-tensor", is_flag=True, help="Leave output.weight as it is.")
@click.option("--output-tensor-type", metavar="TYPE", help="The type of output.weight.")
@click.option("--token-embedding-type", metavar="TYPE", help="The type of the token embeddings.")
@click.option(
    "--tensor-type",
    metavar="REGEX=TYPE",
    multiple=True,
    help="The type of tensors whose name matches; the first counts.",
)
@click.option("--tensor-type-file", type=_FILE, metavar="FILE", help="Such pairs, after the ones given here.")
@click.option("--allow-requantize", is_flag=True, help="Quantize what is quantized already, at a loss.")
@click.option("--keep-split", is_flag=True, help="Write as many shards as there are, named after OUT.")
@click.option(
    "--override-kv", metavar="KEY=TYPE:VALUE", multiple=True, help="Set metadata; TYPE is int, float, bool or str."
)
@click.option("--dry-run", is_flag=True, help="Tell types and sizes, and write nothing.")
@format_file_option
@debug_option
def quantize_command(**values: Any) -> None:
    """Write the model IN to OUT with its weights in the format TYPE.

    TYPE is one of llama-quantize's file types, such as Q4_K_M, Q8_0 or F16, or COPY, or the name of a format of one's
    own, which all matrices then get. Without OUT, the file is ggml-model-TYPE.gguf beside IN. THREADS are all cores
    by default.

    \b
    pyggml quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M
    pyggml quantize --imatrix imatrix.gguf model-f16.gguf IQ2_M
    pyggml quantize --tensor-type attn_v=q8_0 model-f16.gguf out.gguf Q3_K_M 4
    pyggml quantize --format-file nf4.py model-f16.gguf model-nf4.gguf NF4
    """
    # Imported here, so that --help needs neither NumPy nor Numba.
    from pyggml.cli.quantizing import quantize

    quantize(take(QuantizeArguments, values))
