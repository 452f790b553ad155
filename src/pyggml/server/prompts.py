"""Prompts as llama-server takes them: texts, tokens, both mixed, or several of these."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pyggml.errors import UsageError
from pyggml.model import Model

Token = Annotated[int, Field(strict=True)]


class PromptObject(BaseModel):
    """A prompt with a place for pictures, which text models do not take."""

    model_config = ConfigDict(extra="ignore")
    prompt_string: str | list[Token | str]
    multimodal_data: list[Any] = Field(default_factory=list)


Mixed = list[Token | str]
OnePrompt = str | Mixed | PromptObject
AnyPrompt = str | list[Token | str | Mixed | PromptObject] | PromptObject
"""One prompt, or a list of them. A list is one prompt if there is a token in it."""


def prompts_of(prompt: AnyPrompt) -> list[OnePrompt]:
    """The prompts that a field holds. Raises UsageError for an empty list."""
    if not isinstance(prompt, list):
        return [prompt]
    if not prompt:
        raise UsageError("prompt: the list is empty; a text, tokens, or a list of these is needed")
    if any(isinstance(piece, int) for piece in prompt):
        pieces = [piece for piece in prompt if isinstance(piece, int | str)]
        if len(pieces) < len(prompt):
            raise UsageError("prompt: tokens and texts cannot stand in one list with lists and objects")
        return [pieces]
    return [piece for piece in prompt if not isinstance(piece, int)]


def tokens_of(model: Model, prompt: OnePrompt, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
    """A prompt as tokens. In a list, texts and tokens follow each other. Raises UsageError for pictures."""
    if isinstance(prompt, PromptObject):
        if prompt.multimodal_data:
            raise UsageError("multimodal_data: this model takes no pictures")
        prompt = prompt.prompt_string
    if isinstance(prompt, str):
        return model.tokenize(prompt, add_special=add_special, parse_special=parse_special)
    tokens: list[int] = []
    for index, piece in enumerate(prompt):
        if isinstance(piece, int):
            tokens.append(piece)
        else:
            tokens += model.tokenize(piece, add_special=add_special and index == 0, parse_special=parse_special)
    return tokens
