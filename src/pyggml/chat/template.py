"""A chat template, compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from traceback import walk_tb
from typing import Any

from jinja2.exceptions import TemplateSyntaxError

from pyggml.chat.built_in import BUILT_IN_TEMPLATES
from pyggml.chat.environment import MAX_CHARACTERS, RefusalError, TemplateEnvironment
from pyggml.chat.message import check_messages, has_parts, with_plain_text
from pyggml.errors import ChatTemplateError

_PROBE = "probe of a part"


@dataclass(frozen=True)
class ChatTemplate:
    """A jinja2 template with the special tokens it may name; make one with `from_text` or `choose`."""

    source: str
    bos_token: str
    eos_token: str
    _compiled: Any = field(repr=False, compare=False)

    @classmethod
    def from_text(cls, source: str, bos_token: str, eos_token: str) -> "ChatTemplate":
        """Compile a source. Raises ChatTemplateError, with the line, if it is no template."""
        try:
            compiled = TemplateEnvironment().compile_bounded(source)
        except TemplateSyntaxError as error:
            raise ChatTemplateError(f"the chat template is wrong at line {error.lineno}: {error.message}") from error
        # Beyond its own errors jinja2 passes on Python's: nesting too deep for the compiler, a number too long.
        except Exception as error:
            raise ChatTemplateError(f"the chat template cannot be compiled: {_reason(error)}") from error
        return cls(source, bos_token, eos_token, compiled)

    @classmethod
    def choose(
        cls, name_or_path_or_text: str | None, file_template: str | None, *, bos_token: str, eos_token: str
    ) -> "ChatTemplate":
        """Take `--chat-template NAME|FILE|text`: a built-in name, else a file, else text with a brace in it.

        Without one the model file's own template is taken. Raises ChatTemplateError if there is none, or the file
        cannot be read, or the value is nothing of the three.
        """
        value = name_or_path_or_text
        if value is None:
            if file_template is None:
                raise ChatTemplateError(
                    "the model file has no chat template (tokenizer.chat_template): choose one with "
                    f"--chat-template NAME|FILE|text; the names are {', '.join(BUILT_IN_TEMPLATES)}"
                )
            return cls.from_text(file_template, bos_token, eos_token)
        if value in BUILT_IN_TEMPLATES:
            return cls.from_text(BUILT_IN_TEMPLATES[value], bos_token, eos_token)
        if _is_file(value):
            return cls.from_text(_read(Path(value)), bos_token, eos_token)
        if "{" in value:
            return cls.from_text(value, bos_token, eos_token)
        raise ChatTemplateError(
            f"--chat-template {value!r} is no built-in name, no file and no template text: "
            f"the names are {', '.join(BUILT_IN_TEMPLATES)}"
        )

    def render(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, object]] | None = None,
        **variables: object,
    ) -> str:
        """Write the conversation as text; further variables reach the template under their names.

        Content given as parts is joined to one text for a template that takes only texts. Raises ChatTemplateError
        if a message is malformed, or the template refuses the conversation, fails, or does not end.
        """
        check_messages(messages)
        if has_parts(messages) and not self._takes_parts:
            messages = [with_plain_text(message, index) for index, message in enumerate(messages)]
        return self._generate(
            {
                "bos_token": self.bos_token,
                "eos_token": self.eos_token,
                "messages": messages,
                "add_generation_prompt": add_generation_prompt,
                "tools": tools,
                **variables,
            }
        )

    @cached_property
    def _takes_parts(self) -> bool:
        """Whether a list of text parts comes out as its text, not as an error or Python's notation of the list."""
        probe = {"role": "user", "content": [{"type": "text", "text": _PROBE}]}
        try:
            text = self._generate({"bos_token": "", "eos_token": "", "messages": [probe], "tools": None})
        except ChatTemplateError:
            return False
        return _PROBE in text and f"'{_PROBE}'" not in text and f'"{_PROBE}"' not in text

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the description of a tool comes out in the text."""
        tool = {"type": "function", "function": {"name": _PROBE, "description": "", "parameters": {"type": "object"}}}
        try:
            return _PROBE in self.render([{"role": "user", "content": "Hi"}], tools=[tool])
        except ChatTemplateError:
            return False

    def _generate(self, variables: Mapping[str, object]) -> str:
        pieces: list[str] = []
        n_characters = 0
        try:
            for piece in self._compiled.generate(variables):
                n_characters += len(piece)
                if n_characters > MAX_CHARACTERS:
                    raise OverflowError(f"more than {MAX_CHARACTERS:,} characters of output")
                pieces.append(piece)
        # A template is a program from a stranger: whatever it raises is its failure.
        except Exception as error:
            raise ChatTemplateError(_explain(error, variables["messages"])) from error
        return "".join(pieces)


def _explain(error: Exception, messages: Any) -> str:
    roles = ", ".join(message["role"] for message in messages) or "none"
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == "<template>"]
    place = f" at line {lines[-1]}" if lines else ""
    verb = "refuses this conversation" if isinstance(error, RefusalError) else "fails"
    return (
        f"the chat template {verb}{place}: {_reason(error)}; the roles given: {roles} "
        "(--chat-template chooses another template)"
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, RefusalError) else f"{type(error).__name__}: {error}"


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except OSError:  # the text of a template may be too long for a file name
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChatTemplateError(f"--chat-template {path}: the file cannot be read as UTF-8 text: {error}") from error
