"""A model that says what a test has written down, for tests of the command line."""

import json
import os
import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pyggml.chat import ChatTemplate
from pyggml.engine import DoneEvent, Event, GenerationOptions, Picture, PromptEvent, TextEvent, Timings
from pyggml.engine.events import Reason
from pyggml.errors import ContextError, UsageError
from pyggml.placement import Placement

BOS, EOS, START, END = 256, 257, 258, 259
_SPECIAL = {"<s>": BOS, "</s>": EOS, "<|im_start|>": START, "<|im_end|>": END}
_NAMES = {token: text for text, token in _SPECIAL.items()}
_SPLIT = re.compile("(" + "|".join(map(re.escape, _SPECIAL)) + ")")

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class FakeTokenizer:
    """Each byte is a token; four special tokens follow."""

    add_bos: bool = True
    bos: int | None = BOS
    eos: int | None = EOS
    n_tokens: int = 260
    end_of_generation: frozenset[int] = frozenset({EOS, END})
    suppressed: tuple[int, ...] = ()

    def text(self, token: int) -> str:
        return _NAMES[token]

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = False) -> list[int]:
        tokens = [BOS] if add_special and self.add_bos else []
        for part in _SPLIT.split(text) if parse_special else [text]:
            tokens += [_SPECIAL[part]] if parse_special and part in _SPECIAL else list(part.encode())
        return tokens

    def detokenize(self, tokens: Iterable[int], *, render_special: bool = False) -> str:
        return b"".join(self.piece(token, special=render_special) for token in tokens).decode()

    def piece(self, token: int, *, special: bool) -> bytes:
        if token < 0:
            return b"#"  # a part of a picture
        return bytes([token]) if token < BOS else _NAMES[token].encode() if special else b""


@dataclass(frozen=True)
class Reply:
    """An answer to give: its text, why it ends, and after how many tokens Ctrl-C is pressed, once or twice."""

    text: str
    reason: Reason = "eos"
    stop_string: str | None = None
    ctrl_c_after: int | None = None
    n_ctrl_c: int = 1


@dataclass
class FakeSession:
    """Gives the model's replies in turn, a token for each character, and keeps what it was asked."""

    model: "FakeModel"
    tokens: list[int] = field(default_factory=list)

    def generate(
        self,
        tokens: Sequence[int],
        sampler: object,
        options: GenerationOptions,
        constraint: object = None,
        pictures: object = None,
    ) -> Iterator[Event]:
        if len(tokens) >= self.model.n_ctx:
            raise ContextError(f"the prompt is too long: {len(tokens)} tokens")
        self.model.asked.append(self.model.tokenizer.detokenize(tokens, render_special=True))
        self.model.generation_options.append(options)
        return self._run(list(tokens), self.model.replies.pop(0))

    def _run(self, tokens: list[int], reply: Reply) -> Iterator[Event]:
        self.tokens[:] = tokens
        yield PromptEvent(len(tokens) // 2, len(tokens))
        yield PromptEvent(len(tokens), len(tokens))
        for index, character in enumerate(reply.text):
            if index == reply.ctrl_c_after:
                for _ in range(reply.n_ctrl_c):
                    signal.raise_signal(signal.SIGINT)
            self.tokens.extend(character.encode())
            yield TextEvent(character.encode()[0], character)
        timings = Timings(
            n_cached=0, n_prompt=len(tokens), prompt_seconds=2.0, n_generated=len(reply.text), generation_seconds=4.0
        )
        yield DoneEvent(reply.reason, reply.stop_string, timings)

    def save(self, path: str | os.PathLike[str]) -> None:
        Path(path).write_text(json.dumps(self.tokens), encoding="utf-8")

    def load(self, path: str | os.PathLike[str]) -> None:
        self.tokens = json.loads(Path(path).read_text(encoding="utf-8"))


class FakeFile:
    """Metadata."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.path = Path("fake.gguf")

    def get(self, key: str, kind: type, default: Any) -> Any:
        return self.metadata.get(key, default)


class FakeModel:
    """Has the shape of `pyggml.Model`, as far as the command line looks at it."""

    def __init__(
        self, *replies: Reply | str, template: str | None = None, n_ctx: int = 2048, add_bos: bool = True
    ) -> None:
        self.replies = [Reply(reply) if isinstance(reply, str) else reply for reply in replies]
        self.tokenizer = FakeTokenizer(add_bos)
        self.file = FakeFile({})
        self.n_ctx = n_ctx
        self.n_ctx_train = 4096
        self.n_threads = 2
        self.placement = Placement((), 2, "all layers on the CPU")
        self.engine = SimpleNamespace(can_shift=True)
        self.asked: list[str] = []
        self.generation_options: list[GenerationOptions] = []
        self.load_arguments: dict[str, Any] = {}
        self._template = template

    @property
    def tower(self) -> object:
        """Whatever was loaded as one."""
        return self.load_arguments.get("mmproj")

    @property
    def chat_template(self) -> ChatTemplate | None:
        return self.choose_chat_template(None) if self._template else None

    def choose_chat_template(self, choice: str | None) -> ChatTemplate:
        return ChatTemplate.choose(choice, self._template, bos_token="<s>", eos_token="</s>")

    def look(self, images: Iterable[Path]) -> list[Picture]:
        """Any picture is one row of as many numbers as its file's name has letters; without a tower, none is seen."""
        if not self.load_arguments.get("mmproj"):
            raise UsageError("the model was loaded without a vision tower")
        return [Picture(np.zeros((len(Path(each).stem), 1), np.float32), 1, len(Path(each).stem)) for each in images]

    def session(self) -> FakeSession:
        return FakeSession(self)

    def load(self, path: Path, **arguments: Any) -> "FakeModel":
        """Stand in for `pyggml.load`."""
        self.load_arguments = {"path": path, **arguments}
        return self
