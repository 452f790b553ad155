"""Chat templates: messages in, the text that a model was trained to continue out."""

from pyggml.chat.built_in import BUILT_IN_TEMPLATES
from pyggml.chat.message import Message, Part
from pyggml.chat.template import ChatTemplate

__all__ = ["BUILT_IN_TEMPLATES", "ChatTemplate", "Message", "Part"]
