"""Files as the chat page exports them."""

import json
from typing import Any

MESSAGE = {"id": "m1", "parent": None, "role": "user", "content": "Hi", "created": 2}
CONVERSATION: dict[str, Any] = {
    "id": "c1", "title": "From a file", "created": 1, "changed": 2, "leaf": "m2", "settings": {"top_k": 5, "evil": 1},
    "messages": [MESSAGE, {**MESSAGE, "id": "m2", "parent": "m1", "role": "assistant", "model": "m"}],
}  # fmt: skip


def a_file(**changed: Any) -> str:
    """A file with one conversation, changed in these fields."""
    file = {"format": "pyggml conversations", "version": 1, "conversations": [{**CONVERSATION, **changed}]}
    return json.dumps(file)
