"""Pictures among the parts of messages: what stands for them in the text that a template writes."""

import secrets
from collections.abc import Sequence

from pyggml.server.chat_fields import ContentPart


class ChatPictures:
    """The pictures of a conversation, in its order; `marker` stands for each, by default one that nobody can guess."""

    def __init__(self, marker: str | None = None) -> None:
        self.marker = marker or f"<__media_{secrets.token_hex(8)}__>"
        self.given: list[tuple[str, str]] = []
        """Data or address of each, and its place in the body."""

    def text_of(self, parts: Sequence[ContentPart], place: str) -> str:
        """The parts as one text, joined as llama-server does: by line breaks, but for those around pictures."""
        text, was_picture = "", False
        for index, part in enumerate(parts):
            if part.picture is not None:
                self.given.append((part.picture, f"{place}[{index}]"))
                text += self.marker
            else:
                text += ("\n" if text and not was_picture else "") + (part.text or "")
            was_picture = part.picture is not None
        return text
