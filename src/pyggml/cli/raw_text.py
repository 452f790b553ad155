"""Continuing bare text, alone or in turns with the user; as llama.cpp's llama-completion does."""

from dataclasses import dataclass, replace

from pyggml.cli.answer import INTERRUPTED, Answer
from pyggml.cli.escapes import process_escapes
from pyggml.cli.stage import Stage, exit_status
from pyggml.errors import UsageError


@dataclass(frozen=True)
class RawOptions:
    """How turns are taken: whether at all, who begins, and what surrounds what the user types."""

    interactive: bool
    user_first: bool
    prefix: str
    suffix: str
    escape: bool


class RawText:
    """A text that grows: the tokens of the prompt, of what was generated, and of what the user typed."""

    def __init__(self, stage: Stage, options: RawOptions) -> None:
        """Begin with nothing."""
        self._stage = stage
        self._options = options
        self._tokens: list[int] = []
        self._n_keep = 0
        self._unshown = ""

    def run(self, prompt: str, cached: list[int]) -> int:
        """Continue the prompt, or without one the tokens of the prompt cache; give the exit status.

        Raises UsageError if there is nothing to begin with.
        """
        self._begin(prompt, cached)
        if self._options.user_first:
            self._show_prompt()
            if not self._take_turn():
                return 0
        while True:
            self._make_room()
            answer = self._stage.answer(self._tokens, self._show_prompt)
            self._tokens += answer.tokens
            self._stage.console.write(answer.stop_string or "")
            if not self._options.interactive:
                return exit_status(answer)
            self._hand_over(answer)
            if not self._take_turn():
                return 0

    def _begin(self, prompt: str, cached: list[int]) -> None:
        tokenizer = self._stage.tokenizer
        if prompt or not cached:
            self._tokens = tokenizer.tokenize(prompt, add_special=True, parse_special=True)
        else:
            self._tokens, prompt = cached, tokenizer.detokenize(cached)
        if not self._tokens and not self._options.user_first:
            if tokenizer.bos is None:
                raise UsageError("nothing to begin with: give a prompt with -p or -f, or let the user begin with -if")
            self._tokens = [tokenizer.bos]
        self._unshown = prompt if self._stage.display_prompt else ""
        self._fix_what_is_kept(int(tokenizer.add_bos))

    def _fix_what_is_kept(self, n_bos: int) -> None:
        """Count what a shift keeps in the first prompt: to the engine, later turns are part of the prompt."""
        generation = self._stage.generation
        n_prompt = len(self._tokens)
        self._n_keep = n_prompt if generation.keep < 0 else min(n_prompt, generation.keep + n_bos)
        self._stage = replace(self._stage, generation=replace(generation, keep=max(0, self._n_keep - n_bos)))

    def _make_room(self) -> None:
        """Let go of the older half of what is not kept, as often as needed, if the context may be shifted."""
        if self._stage.generation.context_shift:
            while len(self._tokens) >= self._stage.n_ctx and (n_discarded := (len(self._tokens) - self._n_keep) // 2):
                del self._tokens[self._n_keep : self._n_keep + n_discarded]

    def _show_prompt(self) -> None:
        """Show the prompt once; when all is said about its evaluation, so that the text follows it at once."""
        self._stage.console.write(self._unshown, color="yellow")
        self._unshown = ""

    def _hand_over(self, answer: Answer) -> None:
        """Make visible that it is the user's turn; after the end of a text, by the first reverse prompt."""
        console, tokenizer, stops = self._stage.console, self._stage.tokenizer, self._stage.generation.stop
        if answer.reason == INTERRUPTED:
            console.end_line()
        elif answer.reason == "eos":
            console.write("\n")
            self._tokens += [] if tokenizer.eos is None else [tokenizer.eos]
            self._append(stops[0] if stops else "")
            console.write(stops[0] if stops else "")

    def _take_turn(self) -> bool:
        """Append what the user types, nothing after a bare Enter; tell whether there was a turn at all."""
        self._stage.console.write(self._options.prefix)
        text = self._stage.user.read()
        if text:
            self._append(self._options.prefix)
            typed = process_escapes(text) if self._options.escape else text
            self._tokens += self._stage.tokenizer.tokenize(typed, add_special=False, parse_special=False)
            self._stage.console.write(self._options.suffix)
            self._append(self._options.suffix)
        return text is not None

    def _append(self, text: str) -> None:
        self._tokens += self._stage.tokenizer.tokenize(text, add_special=False, parse_special=True)
