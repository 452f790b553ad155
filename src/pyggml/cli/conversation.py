"""A conversation: messages, answers that stream, and commands."""

import re
from collections.abc import Sequence
from pathlib import Path

from pyggml.chat import ChatTemplate, Message
from pyggml.cli.answer import INTERRUPTED
from pyggml.cli.gallery import Gallery
from pyggml.cli.stage import Stage, exit_status
from pyggml.cli.timings import describe_answer
from pyggml.engine import PlacedPictures
from pyggml.errors import ContextError, ImageError, UsageError
from pyggml.model import chat_text

HELP = r"""/regen      answer the last message again
/clear      forget the conversation
/read FILE  put a text file in front of the next message
/image FILE put a picture there
/help       show this
/exit       leave; so do Ctrl-D, and Ctrl-C while nothing is generated
A line that ends with a backslash goes on in the next one. Ctrl-C stops an answer."""

PROMPT = "> "
MAX_ECHO = 500

_COMMAND = re.compile(r"(/[a-z]+)(?:\s+(.*))?", re.DOTALL)


class Conversation:
    """The messages so far; `run` takes turns with the user."""

    def __init__(
        self,
        stage: Stage,
        template: ChatTemplate,
        system: str | None,
        context_shift: bool,
        gallery: Gallery,
    ) -> None:
        """Begin with the system message, if there is one; `context_shift` lets a full context lose its oldest turns."""
        self._stage = stage
        self._template = template
        self._start: list[Message] = [] if system is None else [{"role": "system", "content": system}]
        self._messages = list(self._start)
        self._files = ""
        self._context_shift = context_shift
        self._gallery = gallery
        self._shows_timings = False

    def run(self, first: str | None, single_turn: bool, pictures: Sequence[Path] = ()) -> int:
        """Answer the first message, then what the user types until the end of the input; give the exit status.

        The pictures belong to the first message. Raises ContextError when no user is there who could do something
        about it.
        """
        self._shows_timings = self._stage.show_timings and not single_turn
        if first is not None:
            self._echo(first)
            status = self._say(self._gallery.first_message(first, pictures))
            if single_turn:
                return status
        else:
            self._files = self._gallery.first_message("", pictures)
        while (turn := self._read()) is not None:
            if command := _COMMAND.fullmatch(turn.strip()):
                if command[1] == "/exit":
                    break
                self._obey(command[1], command[2] or "")
            elif turn.strip():
                status = self._say(turn)
                if single_turn:
                    return status
        return 0

    def _echo(self, message: str) -> None:
        console = self._stage.console
        if console.interactive and self._stage.display_prompt:
            shown = message if len(message) <= MAX_ECHO else f"{message[:MAX_ECHO]} ... (shortened)"
            console.write(f"\n{PROMPT}")
            console.write(f"{shown}\n", color="green", bold=True)

    def _read(self) -> str | None:
        if self._stage.console.interactive:
            self._stage.console.end_line()
            self._stage.console.write("\n")
        return self._stage.user.read(PROMPT, commands=True)

    def _obey(self, command: str, argument: str) -> None:
        console = self._stage.console
        if command == "/help":
            console.remark(HELP)
        elif command == "/clear":
            self._messages, self._files = list(self._start), ""
            console.remark("The conversation is forgotten.")
        elif command == "/read":
            self._read_file(argument.strip())
        elif command == "/image":
            self._show(argument.strip())
        elif command != "/regen":
            console.warn(f"there is no command {command}; /help lists them")
        elif self._messages[-1:] and self._messages[-1]["role"] == "assistant":
            self._messages.pop()
            self._answer()
        else:
            console.warn("there is no answer to give again")

    def _read_file(self, name: str) -> None:
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            self._stage.console.warn(f"/read {name}: the file cannot be read as UTF-8 text: {error}")
            return
        self._files += f"--- File: {name} ---\n{text}" + ("" if text.endswith("\n") else "\n")
        self._stage.console.remark(f"{name} goes with your next message.")

    def _show(self, name: str) -> None:
        try:
            self._files += self._gallery.add(Path(name).expanduser())
        except (ContextError, ImageError, UsageError, RuntimeError) as error:
            self._stage.console.warn(f"/image {name}: {error}")
            return
        self._stage.console.remark(f"{name} goes with your next message.")

    def _say(self, text: str) -> int:
        self._messages.append({"role": "user", "content": self._files + text})
        self._files = ""
        return self._answer()

    def _answer(self) -> int:
        """Answer the last message, and keep the answer; without one the message is taken back."""
        console = self._stage.console
        try:
            tokens, pictures = self._fitting_tokens()
            answer = self._stage.answer(tokens, pictures=pictures)
        except ContextError as error:
            if not console.interactive:
                raise
            self._messages.pop()
            console.warn(f"{error}; /clear begins anew, --context-shift lets go of the oldest messages")
            return error.exit_code
        if answer.text or answer.reason != INTERRUPTED:
            self._messages.append({"role": "assistant", "content": answer.text})
        else:
            self._messages.pop()
        console.end_line()
        if self._shows_timings:
            console.remark(describe_answer(answer.timings))
        return exit_status(answer)

    def _fitting_tokens(self) -> tuple[list[int], PlacedPictures]:
        """Give the conversation as tokens; if it is too long and may be shifted, without its oldest turns.

        As in a shift during an answer, the context is then half empty, so that it does not happen at every turn.
        """
        tokens, pictures = self._tokens()
        if not self._context_shift or len(tokens) < self._stage.n_ctx:
            return tokens, pictures
        n_before, oldest = len(self._messages), len(self._start)
        while len(tokens) > self._stage.n_ctx // 2 and len(self._messages) > oldest + 2:
            del self._messages[oldest : oldest + 2]
            tokens, pictures = self._tokens()
        if n_gone := n_before - len(self._messages):
            self._stage.console.remark(f"The context is full: the oldest {n_gone} messages are gone.")
        return tokens, pictures

    def _tokens(self) -> tuple[list[int], PlacedPictures]:
        text, add_special = chat_text(self._template, self._messages)
        return self._gallery.prompt(self._stage.tokenizer, text, add_special=add_special)
