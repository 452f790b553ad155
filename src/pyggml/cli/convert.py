"""`pyggml convert`: a checkpoint of Hugging Face to GGUF, with the options of llama.cpp's convert_hf_to_gguf.py."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.types import FuncParamType

from pyggml.cli.model_options import take
from pyggml.cli.sections import debug_option

_PATH = click.Path(path_type=Path)
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


def _size(value: str) -> int:
    """`300M` or `2G`, in powers of 1000."""
    match = re.fullmatch(r"(\d+)([KMG]?)", value)
    if not match:
        raise click.BadParameter(
            f"{value!r} is no size: allowed is a number, maybe with K, M or G, such as 300M or 2G."
        )
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True)
class ConvertArguments:
    """What the command line says, word by word."""

    folder: Path
    outfile: Path | None
    outtype: str
    mmproj: bool
    vocab_only: bool
    split_max_tensors: int
    split_max_size: int | None
    no_tensor_first_split: bool
    metadata: Path | None
    model_name: str | None
    pre_tokenizer: str | None
    imatrix: str | None
    threads: int | None
    dry_run: bool


@click.command("convert", context_settings={"max_content_width": 100})
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option(
    "--outfile", type=_PATH, metavar="FILE", help="Where to write, also a folder; {ftype} is the type.  [default: DIR]"
)
@click.option(
    "--outtype",
    default="auto",
    metavar="TYPE",
    show_default=True,
    help="f32, f16, bf16, q8_0, auto (bf16 or f16, as DIR has it), or a type of pyggml quantize such as q4_k_m.",
)
@click.option("--mmproj", is_flag=True, help="Convert the vision tower instead of the language model.")
@click.option("--vocab-only", is_flag=True, help="Write the vocabulary, and no tensors.")
@click.option("--split-max-tensors", type=click.IntRange(0), default=0, metavar="N", help="Tensors in a file.")
@click.option("--split-max-size", type=FuncParamType(_size), metavar="N(K|M|G)", help="Size of the tensors in a file.")
@click.option("--no-tensor-first-split", is_flag=True, help="Let the first file hold metadata alone.")
@click.option("--metadata", type=_PATH, metavar="FILE", help='JSON with keys such as "general.author" to set.')
@click.option("--model-name", metavar="NAME", help="The name of the model.")
@click.option("--pre-tokenizer", metavar="NAME", help="How texts are split, if it is not recognized.")
@click.option("--imatrix", metavar="FILE", help="An importance matrix for types of pyggml quantize.")
@click.option("-t", "--threads", type=click.IntRange(1), metavar="N", help="Threads to quantize with.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Tell files and tensors, and write nothing.")
@debug_option
def convert_command(**values: Any) -> None:
    """Convert a checkpoint of Hugging Face in the folder DIR to GGUF.

    Qwen2, Qwen2.5, Qwen2-VL, Qwen2.5-VL and Llama; weights in safetensors or pytorch_model.bin.

    \b
    pyggml convert Qwen2.5-0.5B-Instruct
    pyggml convert Qwen2.5-0.5B-Instruct --outtype q4_k_m --outfile qwen.gguf
    pyggml convert Qwen2-VL-2B-Instruct --mmproj
    """
    # Imported here, so that --help needs neither NumPy nor Numba.
    from pyggml.cli.converting import convert

    convert(take(ConvertArguments, values))
