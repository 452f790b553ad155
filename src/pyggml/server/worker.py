"""Work that would keep the event loop from its other clients."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request

Result = TypeVar("Result")

#: Bytes of a body from which on its prompt is tokenized on another thread: at some megabytes a second, a few
#: milliseconds of work.
_LONG_BODY = 16384


async def read_prompt(client: Request, function: Callable[[], Result], *, is_slow: bool = False) -> Result:
    """What a function makes of the request's body: at once if that is short, else on another thread.

    A grammar `is_slow`, however short: the first one of a model takes seconds.
    """
    is_long = len(await client.body()) >= _LONG_BODY
    return await asyncio.to_thread(function) if is_long or is_slow else function()
