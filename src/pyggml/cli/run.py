"""`pyggml run`: a prompt continued, or a conversation held."""

from typing import Any

import click

from pyggml.cli.grammar_options import GrammarOptions, grammar_options
from pyggml.cli.ignored_options import explain_ignored, ignored_options
from pyggml.cli.model_options import LoadOptions, ModelOptions, model_options, take
from pyggml.cli.picture_options import PictureOptions, TowerOptions, image_option, tower_options
from pyggml.cli.sampling_options import sampling_options, take_sampling
from pyggml.cli.sections import SectionCommand, debug_option
from pyggml.cli.text_options import (
    CacheFileOptions,
    DisplayOptions,
    InteractionOptions,
    LengthOptions,
    PromptOptions,
    text_options,
)


@click.command(
    "run", cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@model_options
@text_options
@tower_options
@image_option
@sampling_options
@grammar_options
@ignored_options
@debug_option
@click.pass_context
def run_command(context: click.Context, /, **values: Any) -> None:
    """Continue a prompt, or hold a conversation.

    A model with a chat template holds a conversation, any other one continues the text of the prompt. The text goes to
    stdout, all remarks to stderr.

    \b
    pyggml run                                       a conversation with the model inside the package
    pyggml run -p "What is 37 + 48?"                 the same, and the first message is given
    pyggml run --image a.png -p "What is this?"      an answer of the small model that sees pictures
    pyggml run -m model.gguf -st -p "Name a color."  one answer
    pyggml run -m model.gguf -no-cnv -p "Once upon a time" -n 60 --temp 0
    pyggml run -m text.gguf --mmproj vision.gguf --image a.png -p "What is this?"
    pyggml run -hf user/repo:Q4_K_M -c 4096 -sys "You answer in rhymes."
    """
    # Imported here, so that --help needs neither NumPy nor Numba.
    from pyggml.cli.running import RunOptions, run

    options = RunOptions(
        take(ModelOptions, values),
        take(LoadOptions, values),
        take_sampling(values, values["escape"]),
        take(GrammarOptions, values),
        take(TowerOptions, values),
        take(PictureOptions, values),
        take(PromptOptions, values),
        take(LengthOptions, values),
        take(InteractionOptions, values),
        take(CacheFileOptions, values),
        take(DisplayOptions, values),
        tuple(explain_ignored(values)),
    )
    context.exit(run(options))
