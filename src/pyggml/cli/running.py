"""What `pyggml run` does once its options are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyggml.chat import ChatTemplate
from pyggml.cli.answer import Answerer
from pyggml.cli.console import Console
from pyggml.cli.conversation import Conversation
from pyggml.cli.escapes import process_escapes
from pyggml.cli.gallery import Gallery
from pyggml.cli.grammar_options import GrammarOptions
from pyggml.cli.loading import load_model, warn_of_shift
from pyggml.cli.logs import shown_logs
from pyggml.cli.model_options import LoadOptions, ModelOptions
from pyggml.cli.model_source import locate_model, locate_tower
from pyggml.cli.picture_options import PictureOptions, TowerOptions
from pyggml.cli.prompt_cache import PromptCache
from pyggml.cli.prompts import read_prompt, read_system_prompt, template_choice
from pyggml.cli.raw_text import RawOptions, RawText
from pyggml.cli.stage import EXIT_INTERRUPTED, Stage
from pyggml.cli.structure import Structure
from pyggml.cli.text_options import CacheFileOptions, DisplayOptions, InteractionOptions, LengthOptions, PromptOptions
from pyggml.cli.timings import Totals
from pyggml.cli.user_input import UserInput
from pyggml.engine import GenerationOptions
from pyggml.errors import ChatTemplateError, UsageError
from pyggml.model import Model
from pyggml.sampling import Sampler, SamplingOptions


@dataclass(frozen=True)
class RunOptions:
    """All options of `pyggml run`; `sampling` are the fields of `SamplingOptions` that the user set."""

    source: ModelOptions
    load: LoadOptions
    sampling: Mapping[str, Any]
    grammar: GrammarOptions
    tower: TowerOptions
    pictures: PictureOptions
    prompt: PromptOptions
    length: LengthOptions
    interaction: InteractionOptions
    cache_file: CacheFileOptions
    display: DisplayOptions
    warnings: tuple[str, ...]


def run(options: RunOptions) -> int:
    """Load the model, and continue a text or hold a conversation; give the exit status. Raises PyggmlError."""
    console = Console("off" if options.display.no_color else options.display.color)
    with shown_logs(console, options.display.verbose):
        for warning in options.warnings:
            console.warn(warning)
        return Run(options, console).run()


class Run:
    """One run: what is wrong with the options is found before the model is loaded, as far as it can be."""

    def __init__(self, options: RunOptions, console: Console) -> None:
        """Read the texts and check the settings of the sampler. Raises UsageError."""
        self._options = options
        self._console = console
        self._prompt = read_prompt(options.prompt)
        self._system = read_system_prompt(options.prompt)
        self._template_choice = template_choice(options.interaction)
        self._structure = Structure(options.grammar)
        self._pictures = options.pictures.paths()
        if options.source.hf_repo is None and options.source.modelscope is None:
            options.pictures.check(options.tower)
        SamplingOptions(**options.sampling)

    def run(self) -> int:
        """Do all of it."""
        path = locate_model(self._options.source)
        tower = locate_tower(self._options.source, self._options.tower, path, self._console)
        self._options.pictures.check(tower)
        loaded = load_model(path, self._options.load, self._console, tower, n_sequences=1)
        model = loaded.model
        self._check_context(model)
        warn_of_shift(model, self._options.length.context_shift, self._console)
        template = self._choose_template(model)
        session = model.session()
        cache = PromptCache(self._options.cache_file, session)
        sampling = SamplingOptions.from_metadata(model.file.metadata, **self._options.sampling)
        sampler = Sampler(sampling, model.tokenizer)
        if self._options.display.verbose:
            self._describe(model, sampler)
        totals = Totals(loaded.seconds)
        constraint = self._structure.constraint(model.tokenizer)
        stage = self._stage(model, Answerer(self._console, session, sampler, cache.save_prompt, constraint), totals)
        try:
            cached = cache.load()
            status = self._continue(stage, cached) if template is None else self._converse(stage, template, model)
        except KeyboardInterrupt:
            status = EXIT_INTERRUPTED
        cache.save_all()
        if self._options.display.perf:
            self._console.remark(totals.describe())
        return status

    def _continue(self, stage: Stage, cached: list[int]) -> int:
        options, escape = self._options.interaction, self._options.prompt.escape
        if self._system is not None:
            self._console.warn("the system message is left aside: without a chat template there is no place for it")
        prefix, suffix = options.in_prefix or "", options.in_suffix or ""
        raw = RawOptions(
            interactive=options.interactive or options.interactive_first,
            user_first=options.interactive_first,
            prefix=process_escapes(prefix) if escape else prefix,
            suffix=process_escapes(suffix) if escape else suffix,
            escape=escape,
        )
        return RawText(stage, raw).run(self._prompt or "", cached)

    def _converse(self, stage: Stage, template: ChatTemplate, model: Model) -> int:
        interaction, is_script = self._options.interaction, not self._console.interactive
        if is_script and self._prompt is not None and not self._prompt.strip():
            raise UsageError("the prompt is empty: there is nothing to answer")
        if not is_script:
            name = model.file.get("general.name", str, model.file.path.stem)
            self._console.remark(f"{name}, a context of {model.n_ctx} tokens. /help tells what you can do.")
        # Without a terminal a first message is all there is: stdin may be anything, and may never end.
        goes_on = interaction.interactive or interaction.interactive_first
        is_question = self._prompt is not None and (is_script or bool(self._pictures))
        single_turn = interaction.single_turn or (is_question and not goes_on)
        shift = self._options.length.context_shift
        conversation = Conversation(
            stage, template, self._system, shift, Gallery(model.look, stage.console, stage.totals)
        )
        return conversation.run(self._prompt or None, single_turn, self._pictures)

    def _stage(self, model: Model, answerer: Answerer, totals: Totals) -> Stage:
        length, prompt = self._options.length, self._options.prompt
        stops = [process_escapes(text) if prompt.escape else text for text in length.reverse_prompt]
        return Stage(
            console=self._console,
            user=UserInput(self._console, self._options.interaction.multiline_input),
            answerer=answerer,
            tokenizer=model.tokenizer,
            generation=GenerationOptions(
                max_tokens=length.predict,
                stop=tuple(stops),
                keep=length.keep,
                context_shift=length.context_shift,
                special=length.special,
            ),
            n_ctx=model.n_ctx,
            can_shift=model.engine.can_shift,
            totals=totals,
            display_prompt=prompt.display_prompt,
            verbose_prompt=prompt.verbose_prompt,
            show_timings=self._options.display.perf,
        )

    def _choose_template(self, model: Model) -> ChatTemplate | None:
        """Give the template of the conversation; None if bare text is to be continued."""
        interaction = self._options.interaction
        has_affix = interaction.in_prefix is not None or interaction.in_suffix is not None
        if has_affix and interaction.conversation:
            raise UsageError(
                "--in-prefix and --in-suffix are for bare text, -cnv uses a chat template: give one of them"
            )
        if has_affix or interaction.conversation is False:
            if self._pictures:
                raise UsageError("--image shows pictures in a conversation, not in bare text: leave -no-cnv away")
            return None
        if self._template_choice is not None:
            try:
                return model.choose_chat_template(self._template_choice)
            except ChatTemplateError as error:
                raise UsageError(str(error)) from error
        if model.tower is not None:
            # As llama-mtmd-cli does, which knows no other one; the models' own add a system message.
            return model.choose_chat_template("chatml")
        if model.chat_template is None and interaction.conversation:
            self._console.warn("the model has no chat template: chatml is taken, --chat-template chooses another one")
            return model.choose_chat_template("chatml")
        return model.chat_template

    def _check_context(self, model: Model) -> None:
        n_ctx = self._options.load.ctx_size
        if n_ctx > model.n_ctx_train:
            self._console.warn(
                f"-c {n_ctx} is more than the {model.n_ctx_train} tokens that the model was trained with"
            )

    def _describe(self, model: Model, sampler: Sampler) -> None:
        source = self._template_choice or ("the model's own" if model.chat_template else "none")
        for line in (
            f"model: {model.file.path}",
            f"context: {model.n_ctx} tokens, {model.n_ctx_train} in training; threads: {model.n_threads}",
            f"layers: {model.placement.reason}",
            f"chat template: {source}",
            sampler.describe(),
        ):
            self._console.remark(line)
