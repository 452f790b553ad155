"""What is learned from: plain texts and conversations, and questions about pictures."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Document:
    """A plain text, or the turns of a conversation: (what the user says, what the model answers).

    The key names the combination that was drawn; with an empty key it is never held out.
    """

    key: str
    plain: str = ""
    turns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Turn:
    """One question about a picture and its answer; the task names what it asks for."""

    task: str
    question: str
    answer: str


def plain_text(key: str, plain: str) -> Document:
    """A plain text."""
    return Document(key, plain=plain)


def chat(key: str, *turns: tuple[str, str]) -> Document:
    """A conversation."""
    return Document(key, turns=turns)


def ask(rng: Random, templates: list[str], key: str, answer: str, **slots: object) -> Document:
    """A question after one of the templates and its answer; the key covers the fact and the template."""
    index = rng.randrange(len(templates))
    return chat(f"{key}|{index}", (templates[index].format(**slots), answer.format(**slots)))
