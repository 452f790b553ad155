"""From a conversation to the prompt of its next answer."""

from typing import Any

from pyggml.chat import ChatTemplate, render_with_tools
from pyggml.engine import Prompt, picture_prompt
from pyggml.errors import UsageError
from pyggml.server.chat_fields import ChatMessage, ChatRequest
from pyggml.server.chat_pictures import ChatPictures
from pyggml.server.pictures import look_at
from pyggml.server.service import Service

#: Names that newer models have for older roles.
_ROLES = {"developer": "system"}
_OWN_VARIABLES = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"})


def chat_prompt(body: ChatRequest, template: ChatTemplate, pictures: ChatPictures) -> str:
    """The text of a conversation, up to where the answer begins; `pictures` takes in those of the messages.

    If the last message is the assistant's, the answer goes on with it. Raises UsageError for messages that do not fit
    together, or are no text, ChatTemplateError for those that the template refuses.
    """
    messages = [_message(message, index, pictures) for index, message in enumerate(body.messages)]
    begun = _take_begun(body, messages)
    if taken := _OWN_VARIABLES & body.chat_template_kwargs.keys():
        raise UsageError(f"chat_template_kwargs.{min(taken)}: the server sets this; leave it out")
    tools = [tool.model_dump(exclude_none=True, exclude={"function": {"strict"}}) for tool in body.chosen_tools]
    adds_prompt = begun is not None or body.add_generation_prompt is not False
    return (
        render_with_tools(
            template, messages, tools, add_generation_prompt=adds_prompt, **body.chat_template_kwargs
        )
        + (begun or "")
    )  # fmt: skip


def template_of(service: Service) -> ChatTemplate:
    """How conversations are written; as chatml if neither the model nor the server knows."""
    return service.chat_template or service.model.choose_chat_template("chatml")


def chat_tokens(body: ChatRequest, service: Service) -> Prompt:
    """The same as tokens. Raises TokenizerError and ImageError, too."""
    template, pictures = template_of(service), ChatPictures()
    text = chat_prompt(body, template, pictures)
    # Some templates write the token that begins a text; then the tokenizer is not to add another.
    begins = bool(template.bos_token) and text.startswith(template.bos_token)
    tokens, placed = picture_prompt(
        service.model.tokenizer,
        text,
        look_at(service, pictures.given),
        marker=pictures.marker,
        add_special=not begins,
    )
    return Prompt(tuple(tokens), placed)


def _message(message: ChatMessage, index: int, pictures: ChatPictures) -> dict[str, Any]:
    """A message as templates take it."""
    shown: dict[str, Any] = {}
    if isinstance(message.content, list):
        for place, part in enumerate(message.content):
            if part.picture is None and (part.type != "text" or part.text is None):
                raise UsageError(
                    f"messages[{index}].content[{place}] is of type {part.type!r}: only text and image_url are taken"
                )
        if any(part.picture for part in message.content):
            shown = {"content": pictures.text_of(message.content, f"messages[{index}].content")}
    if message.content is None and not message.tool_calls and message.role != "assistant":
        raise UsageError(f"messages[{index}].content: missing; only an assistant's message may be without")
    written = message.model_dump(exclude_none=True)
    return {**written, **shown, "role": _ROLES.get(message.role, message.role)}


def _take_begun(body: ChatRequest, messages: list[dict[str, Any]]) -> str | None:
    """Take an answer that is only begun from the end of the messages; None if there is none."""
    is_begun = bool(messages) and messages[-1]["role"] == "assistant"
    if body.continue_final_message is not None and body.continue_final_message != is_begun:
        if is_begun:
            return None
        raise UsageError("continue_final_message: the last message is not the assistant's")
    if not is_begun:
        return None
    if body.add_generation_prompt:
        raise UsageError("add_generation_prompt: the last message is the assistant's, and is continued")
    if messages[-1].get("tool_calls"):
        raise UsageError(f"messages[{len(messages) - 1}].tool_calls: calls cannot be continued; add their results")
    if len(messages) == 1 or messages[-2]["role"] == "assistant":
        raise UsageError("messages: two answers at the end, or nothing before one; there is nothing to answer")
    content = messages.pop().get("content") or ""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)
