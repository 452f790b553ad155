"""Prompts as llama-server takes them: texts, tokens, both mixed, or several of these."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pyggml.engine import Prompt, picture_prompt
from pyggml.errors import UsageError
from pyggml.model import Model
from pyggml.server.pictures import look_at
from pyggml.server.service import Service

Token = Annotated[int, Field(strict=True)]


class PromptObject(BaseModel):
    """A prompt with places for pictures."""

    model_config = ConfigDict(extra="ignore")
    prompt_string: str | list[Token | str]
    multimodal_data: list[str] = Field(default_factory=list)
    """Pictures as base64, one for each `<__media__>` in the text."""


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


def prompt_of(service: Service, prompt: OnePrompt) -> Prompt:
    """A prompt that may have pictures. Raises UsageError, ImageError."""
    if not isinstance(prompt, PromptObject) or not prompt.multimodal_data:
        return Prompt(tuple(tokens_of(service.model, prompt)))
    if not isinstance(prompt.prompt_string, str):
        raise UsageError("prompt_string: beside multimodal_data it has to be a text, with <__media__> for each picture")
    given = [(data, f"multimodal_data[{index}]") for index, data in enumerate(prompt.multimodal_data)]
    tokens, placed = picture_prompt(service.model.tokenizer, prompt.prompt_string, look_at(service, given))
    return Prompt(tuple(tokens), placed)


def tokens_of(model: Model, prompt: OnePrompt, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
    """A prompt as tokens. In a list, texts and tokens follow each other. Raises UsageError for pictures."""
    if isinstance(prompt, PromptObject):
        if prompt.multimodal_data:
            raise UsageError("multimodal_data: pictures can only be answered here, at /completion and /v1/completions")
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
