"""The body of Anthropic's messages API, and the chat request that it stands for."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pyggml.errors import UsageError
from pyggml.server.chat_fields import ChatRequest
from pyggml.server.fields import Count, GenerationFields

_MAX_TOKENS = 4096
#: Blocks of the model's own thinking, which a model that does not think has no use for.
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Block(_Part):
    """A block of a message's content; which fields it has depends on its type."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    tool_use_id: str | None = None
    source: "ImageSource | None" = None
    content: "str | list[Block] | None" = None


class ImageSource(_Part):
    """A picture, as base64 or by its address."""

    type: str
    media_type: str = "image/jpeg"
    data: str = ""
    url: str = ""


class AnthropicMessage(_Part):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class AnthropicTool(_Part):
    """A function that the model may call."""

    name: str = Field(min_length=1)
    description: str | None = None
    input_schema: dict[str, Any] = Field(default_factory=dict)
    strict: bool | None = None


class AnthropicChoice(_Part):
    """Whether a tool is to be called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class OutputFormat(_Part):
    """What the text of the answer obeys."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(_Part):
    """How the answer is to be."""

    format: OutputFormat | None = None


class MessagesRequest(GenerationFields):
    """The body of /v1/messages; the samplers have the fields of /v1/chat/completions, too."""

    messages: Annotated[list[AnthropicMessage], Field(min_length=1)]
    system: str | list[Block] | None = None
    stop_sequences: list[str] = Field(default_factory=list)
    n_probs: Count = 0
    tools: list[AnthropicTool] = Field(default_factory=list)
    tool_choice: AnthropicChoice | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)

    def to_chat(self) -> ChatRequest:
        """The same, as /v1/chat/completions has it. Raises UsageError for what is no text."""
        shared = self.model_dump(include=set(GenerationFields.model_fields), exclude_unset=True)
        return ChatRequest.model_validate(
            {
                "n_predict": _MAX_TOKENS,
                **shared,
                "n_cmpl": 1,
                "messages": self._messages(),
                "stop": self.stop_sequences,
                "tools": [_tool(tool) for tool in self.tools],
                "chat_template_kwargs": self.chat_template_kwargs,
                **self._structure(),
                **self._choice(),
            }
        )

    def _messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        if self.system is not None:
            messages.append({"role": "system", "content": _text(self.system, "system")})
        for index, message in enumerate(self.messages):
            messages += _messages(message, f"messages[{index}].content")
        return messages

    def _structure(self) -> dict[str, Any]:
        form = (self.output_config and self.output_config.format) or self.output_format
        return {"json_schema": form.schema_} if form else {}

    def _choice(self) -> dict[str, Any]:
        if self.tool_choice is None:
            return {}
        names = {"auto": "auto", "any": "required", "none": "none"}
        named = {"type": "function", "function": {"name": self.tool_choice.name or ""}}
        return {
            "tool_choice": names.get(self.tool_choice.type, named),
            "parallel_tool_calls": not self.tool_choice.disable_parallel_tool_use,
        }


def _messages(message: AnthropicMessage, place: str) -> list[dict[str, Any]]:
    """The messages that one stands for: the results of tools are messages of their own, before the text."""
    blocks = [Block(type="text", text=message.content)] if isinstance(message.content, str) else message.content
    results, calls = [], []
    parts: list[dict[str, Any]] = []
    for index, block in enumerate(blocks):
        where = f"{place}[{index}]"
        if block.type == "tool_result":
            content = _text(block.content or "", f"{where}.content")
            results.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": content})
        elif block.type == "tool_use":
            function = {"name": _required(block.name, f"{where}.name"), "arguments": block.input}
            calls.append({"id": block.id or "", "type": "function", "function": function})
        elif block.type == "image":
            parts.append({"type": "image_url", "image_url": {"url": _picture(block.source, f"{where}.source")}})
        elif block.type not in _THOUGHTS:
            parts.append({"type": "text", "text": _text([block], where)})
    # Text alone stays one string, which every template takes.
    texts = [each["text"] for each in parts if each["type"] == "text"]
    own: dict[str, Any] = {"role": message.role, "content": parts if len(texts) < len(parts) else "\n".join(texts)}
    if calls:
        own["tool_calls"] = calls
    return [*results, own] if parts or calls or not results else results


def _tool(tool: AnthropicTool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema or None}
    return {"type": "function", "function": {**function, "strict": tool.strict}}


def _text(content: str | list[Block], place: str) -> str:
    """A content that has to be text."""
    if isinstance(content, str):
        return content
    for block in content:
        if block.type != "text":
            raise UsageError(f"{place}: a block of type {block.type!r}; only text is taken here")
    return "\n".join(_required(block.text, f"{place}.text") for block in content)


def _picture(source: ImageSource | None, place: str) -> str:
    """Where a picture is, as /v1/chat/completions has it."""
    if source is None:
        raise UsageError(f"{place}: missing")
    if source.type == "base64":
        return f"data:{source.media_type};base64,{source.data}"
    if source.type == "url":
        return source.url
    raise UsageError(f"{place}.type is {source.type!r}; allowed are base64 and url")


def _required(value: str | None, place: str) -> str:
    if value is None:
        raise UsageError(f"{place}: missing")
    return value
