"""Sequences advanced step by step on one device, and the events that generation gives."""

from pyggml.backend.observation import Observer
from pyggml.engine.engine import Engine, Part
from pyggml.engine.events import DoneEvent, Event, PromptEvent, TextEvent, Timings
from pyggml.engine.session import GenerationOptions, Session

__all__ = [
    "DoneEvent",
    "Engine",
    "Event",
    "GenerationOptions",
    "Observer",
    "Part",
    "PromptEvent",
    "Session",
    "TextEvent",
    "Timings",
]
