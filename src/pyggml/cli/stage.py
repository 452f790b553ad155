"""What continuing a text and holding a conversation have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyggml.cli.answer import INTERRUPTED, Answer, Answerer
from pyggml.cli.console import Console
from pyggml.cli.timings import Totals
from pyggml.cli.user_input import UserInput
from pyggml.engine import NO_PICTURES, GenerationOptions, PlacedPictures
from pyggml.tokenizer import Tokenizer

EXIT_INTERRUPTED = 130
#: What `-n` says when the text is to end with the context.
FILL_CONTEXT = -2


@dataclass(frozen=True)
class Stage:
    """A model that answers, a user who reads and types, and what was agreed on between them."""

    console: Console
    user: UserInput
    answerer: Answerer
    tokenizer: Tokenizer
    generation: GenerationOptions
    n_ctx: int
    can_shift: bool
    """Whether the model could go on without the older half of a full context."""
    totals: Totals
    display_prompt: bool
    verbose_prompt: bool
    show_timings: bool

    def answer(
        self,
        tokens: Sequence[int],
        show_prompt: Callable[[], None] = lambda: None,
        pictures: PlacedPictures = NO_PICTURES,
    ) -> Answer:
        """Generate and show an answer; `show_prompt` is called right before. Raises ContextError."""
        if self.verbose_prompt:
            self._show_tokens(tokens)
        answer = self.answerer.answer(tokens, self.generation, show_prompt, pictures)
        self.totals.add(answer.timings)
        if answer.reason == "context" and self.generation.max_tokens != FILL_CONTEXT:
            shift = "--context-shift goes on without the older half, " if self.can_shift else ""
            self.console.warn(
                f"the context of {self.n_ctx} tokens is full, so the text ends here: {shift}-c N makes the context"
                " larger"
            )
        return answer

    def _show_tokens(self, tokens: Sequence[int]) -> None:
        self.console.remark(f"{len(tokens)} tokens in the prompt:")
        for token in tokens:
            if token < 0:
                self.console.remark("       -> a part of a picture")
                continue
            piece = self.tokenizer.piece(token, special=True).decode("utf-8", errors="replace")
            self.console.remark(f"{token:6} -> {piece!r}")


def exit_status(answer: Answer) -> int:
    """Tell what the program returns if it ends after this answer."""
    return EXIT_INTERRUPTED if answer.reason == INTERRUPTED else 0
