"""Chat templates: messages in, the text that a model was trained to continue out."""

from pyggml.chat.built_in import BUILT_IN_TEMPLATES
from pyggml.chat.message import Message, Part
from pyggml.chat.template import ChatTemplate
from pyggml.chat.tool_calls import ArgumentsPiece, CallStart, ContentPiece, MessagePiece, MessageReader
from pyggml.chat.tools import render_with_tools

__all__ = [
    "BUILT_IN_TEMPLATES",
    "ArgumentsPiece",
    "CallStart",
    "ChatTemplate",
    "ContentPiece",
    "Message",
    "MessagePiece",
    "MessageReader",
    "Part",
    "render_with_tools",
]
