"""Sequences advanced step by step on one device, and the events that generation gives."""

from pyggml.backend.observation import Observer
from pyggml.engine.constraint import Constraint
from pyggml.engine.counters import Counters
from pyggml.engine.embedding import POOLINGS, Pooling, Vectors, normalized
from pyggml.engine.engine import Engine, Part, cache_shape
from pyggml.engine.events import (
    DoneEvent,
    Event,
    FailedEvent,
    PromptEvent,
    Reason,
    StartEvent,
    TaskEvent,
    TextEvent,
    Timings,
)
from pyggml.engine.options import GenerationOptions
from pyggml.engine.picture_prompt import PICTURE_MARKER, picture_prompt, with_markers
from pyggml.engine.pictures import NO_PICTURES, Picture, PlacedPictures, Prompt, text_tokens
from pyggml.engine.probabilities import TokenProbabilities
from pyggml.engine.scheduler import Scheduler, SchedulerOptions
from pyggml.engine.session import Session
from pyggml.engine.slots import SlotState
from pyggml.engine.task import GenerationRequest, Listener, Task

__all__ = [
    "NO_PICTURES",
    "PICTURE_MARKER",
    "POOLINGS",
    "Constraint",
    "Counters",
    "DoneEvent",
    "Engine",
    "Event",
    "FailedEvent",
    "GenerationOptions",
    "GenerationRequest",
    "Listener",
    "Observer",
    "Part",
    "Picture",
    "PlacedPictures",
    "Pooling",
    "Prompt",
    "PromptEvent",
    "Reason",
    "Scheduler",
    "SchedulerOptions",
    "Session",
    "SlotState",
    "StartEvent",
    "Task",
    "TaskEvent",
    "TextEvent",
    "Timings",
    "TokenProbabilities",
    "Vectors",
    "cache_shape",
    "normalized",
    "picture_prompt",
    "text_tokens",
    "with_markers",
]
