"""What is asked of the model, and how the answers are shown: the options, and what they came to."""

from dataclasses import dataclass
from pathlib import Path

import click

from pyggml.cli.parameter_types import TEXT
from pyggml.cli.sections import Decorated, section

COLOR = ("auto", "on", "off")


@dataclass(frozen=True)
class PromptOptions:
    """The prompt and the system message, each as text or as a file, and whether the prompt is shown."""

    prompt: str | None
    file: Path | None
    system_prompt: str | None
    system_prompt_file: Path | None
    escape: bool
    display_prompt: bool
    verbose_prompt: bool


@dataclass(frozen=True)
class LengthOptions:
    """When generation ends, and what happens when the context is full."""

    predict: int
    keep: int
    context_shift: bool
    reverse_prompt: tuple[str, ...]
    special: bool


@dataclass(frozen=True)
class InteractionOptions:
    """Whether there is a conversation, and how the user's turns are read."""

    conversation: bool | None
    single_turn: bool
    chat_template: str | None
    chat_template_file: Path | None
    interactive: bool
    interactive_first: bool
    multiline_input: bool
    in_prefix: str | None
    in_suffix: str | None


@dataclass(frozen=True)
class CacheFileOptions:
    """The file that keeps an evaluated prompt from one run to the next."""

    prompt_cache: Path | None
    prompt_cache_all: bool
    prompt_cache_ro: bool


@dataclass(frozen=True)
class DisplayOptions:
    """What is printed beside the text, and how."""

    color: str
    no_color: bool
    perf: bool
    verbose: bool


_prompt = section("Prompt")
_length = section("Length")
_interaction = section("Conversation and interaction")
_cache_file = section("Prompt cache")
_display = section("Display")
_FILE = click.Path(path_type=Path)

_OPTIONS = (
    _prompt("prompt", "-p", "--prompt", type=TEXT, help="The text to continue; in a conversation, the first message."),
    _prompt(
        "file", "-f", "--file", type=_FILE, metavar="FILE", help="Read the prompt from a file, or from - for stdin."
    ),
    _prompt("system_prompt", "-sys", "--system-prompt", type=TEXT, help="The system message of the conversation."),
    _prompt(
        "system_prompt_file", "-sysf", "--system-prompt-file", type=_FILE, metavar="FILE", help="Read it from a file."
    ),
    _prompt(
        "escape",
        "-e/--no-escape",
        "--escape",
        default=True,
        default_text="on",
        help=r"Process \n, \r, \t, \', \", \\ and \xHH in -p, -f, -r, --in-prefix and --in-suffix.",
    ),
    _prompt(
        "display_prompt",
        "--display-prompt/--no-display-prompt",
        default=True,
        default_text="on",
        help="Print the prompt before the text.",
    ),
    _prompt("verbose_prompt", "--verbose-prompt", is_flag=True, help="Print the tokens of each prompt on stderr."),
    _length(
        "predict",
        "-n",
        "--predict",
        "--n-predict",
        type=click.IntRange(-2),
        default=-1,
        metavar="N",
        default_text="-1, unlimited",
        help="Tokens to generate in each answer; -2: until the context is full.",
    ),
    _length(
        "reverse_prompt",
        "-r",
        "--reverse-prompt",
        type=TEXT,
        multiple=True,
        help="Stop at this text; may be given again.",
    ),
    _length(
        "keep",
        "--keep",
        type=click.IntRange(-1),
        default=0,
        metavar="N",
        default_text="0",
        help="Tokens of the prompt that --context-shift keeps; -1: all.",
    ),
    _length(
        "context_shift",
        "--context-shift/--no-context-shift",
        default=False,
        default_text="off",
        help="When the context is full, drop the older half of it and go on.",
    ),
    _length("special", "-sp", "--special", is_flag=True, help="Print special tokens as text."),
    _interaction(
        "conversation",
        "-cnv/-no-cnv",
        "--conversation/--no-conversation",
        default=None,
        default_text="if there is a chat template",
        help="Hold a conversation, or continue the bare text.",
    ),
    _interaction(
        "chat_template",
        "--chat-template",
        metavar="NAME|FILE|TEXT",
        type=TEXT,
        default_text="the model's own",
        help="A built-in template such as chatml, a file, or the jinja text.",
    ),
    _interaction(
        "chat_template_file", "--chat-template-file", type=_FILE, metavar="FILE", help="The template in a file."
    ),
    _interaction(
        "single_turn",
        "-st",
        "--single-turn",
        is_flag=True,
        help="End after one answer. So does -p without a terminal, unless -i is given.",
    ),
    _interaction(
        "multiline_input",
        "-mli",
        "--multiline-input",
        is_flag=True,
        help=r"A message ends with a line that ends with \ or /; otherwise a line that ends with \ goes on.",
    ),
    _interaction(
        "interactive",
        "-i",
        "--interactive",
        is_flag=True,
        help="Take turns in bare text: the user goes on at a reverse prompt, at the end of a text, after Ctrl-C.",
    ),
    _interaction(
        "interactive_first", "-if", "--interactive-first", is_flag=True, help="The same, and the user begins."
    ),
    _interaction(
        "in_prefix",
        "--in-prefix",
        type=TEXT,
        help="Text before each of the user's turns; switches the chat template off.",
    ),
    _interaction("in_suffix", "--in-suffix", type=TEXT, help="Text after each of them; likewise."),
    _cache_file(
        "prompt_cache",
        "--prompt-cache",
        type=_FILE,
        metavar="FILE",
        help="Keep the evaluated prompt in this file, and start from it.",
    ),
    _cache_file("prompt_cache_all", "--prompt-cache-all", is_flag=True, help="Keep what was generated, too."),
    _cache_file(
        "prompt_cache_ro", "--prompt-cache-ro", is_flag=True, help="Start from the file, but leave it as it is."
    ),
    _display(
        "color",
        "-co",
        "--color",
        type=click.Choice(COLOR),
        default="auto",
        bare_value="on",
        default_text="auto",
        help="Colour the prompt and the user's input.",
    ),
    _display("no_color", "--no-color", is_flag=True, help="The same as --color off."),
    _display(
        "perf",
        "--perf/--no-perf",
        "--show-timings/--no-show-timings",
        default=True,
        default_text="on",
        help="Print the speed on stderr.",
    ),
    _display(
        "verbose",
        "-v",
        "--verbose",
        is_flag=True,
        help="Print what is loaded and the settings of the sampler on stderr.",
    ),
)


def text_options(function: Decorated) -> Decorated:
    """Add all of these options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
