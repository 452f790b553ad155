"""llama.cpp's chat templates by name (`llama_chat_apply_template`; it knows formats, it runs no jinja)."""

import ctypes
from collections.abc import Sequence

from pyggml_reference.library import OracleError, library


class ChatMessage(ctypes.Structure):
    """`llama_chat_message`."""

    _fields_ = (("role", ctypes.c_char_p), ("content", ctypes.c_char_p))


def built_in_names() -> set[str]:
    """Give the names that llama.cpp lists."""
    function = library().llama_chat_builtin_templates
    function.restype = ctypes.c_int32
    function.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_size_t]
    names = (ctypes.c_char_p * function(None, 0))()
    function(names, len(names))
    return {name.decode() for name in names if name is not None}


def apply_template(name: str, messages: Sequence[tuple[str, str]], *, add_generation_prompt: bool) -> str:
    """Write (role, content) pairs in the format of that name. Raises OracleError for an unknown name."""
    function = library().llama_chat_apply_template
    function.restype = ctypes.c_int32
    function.argtypes = [
        ctypes.c_char_p,
        ctypes.POINTER(ChatMessage),
        ctypes.c_size_t,
        ctypes.c_bool,
        ctypes.c_char_p,
        ctypes.c_int32,
    ]
    array = (ChatMessage * len(messages))(*[ChatMessage(role.encode(), content.encode()) for role, content in messages])
    arguments = (name.encode(), array, len(messages), add_generation_prompt)
    n_bytes = function(*arguments, None, 0)
    if n_bytes < 0:
        raise OracleError(f"llama.cpp knows no chat template {name!r}")
    buffer = ctypes.create_string_buffer(n_bytes + 1)
    function(*arguments, buffer, n_bytes)
    return buffer.raw[:n_bytes].decode()
