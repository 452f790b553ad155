"""Sequences advanced step by step on one device, and the events that generation gives."""

from pyggml.engine.engine import Engine, Part
from pyggml.engine.events import DoneEvent, Event, PromptEvent, TextEvent, Timings
from pyggml.engine.session import GenerationOptions, Session

__all__ = [
    "DoneEvent",
    "Engine",
    "Event",
    "GenerationOptions",
    "Part",
    "PromptEvent",
    "Session",
    "TextEvent",
    "Timings",
]
