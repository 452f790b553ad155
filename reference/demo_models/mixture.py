"""The mixture of tasks that the text demo model learns from, and documents as training text."""

from collections.abc import Callable
from random import Random

from demo_models import chinese, copying, facts, programs, spelling, stories, sums
from demo_models.documents import Document
from demo_models.splits import is_heldout

Task = Callable[[Random], Document]

#: Each task with its weight among the documents.
TASKS: dict[str, tuple[float, Task]] = {
    "story_text": (6, stories.task_story_text),
    "story_chat": (7, stories.task_story_chat),
    "story_reading": (3, stories.task_story_reading),
    "sentences": (3, stories.task_sentences),
    "thing_color": (3, facts.task_thing_color),
    "animal": (5, facts.task_animal),
    "opposite": (3, facts.task_opposite),
    "capital": (3, facts.task_capital),
    "use": (2, facts.task_use),
    "job": (2, facts.task_job),
    "grammar": (2, facts.task_grammar),
    "sequence": (1.5, facts.task_sequence),
    "fact": (3, facts.task_fact),
    "identity": (2, facts.task_identity),
    "category": (3, facts.task_category),
    "odd_one": (2, facts.task_odd_one),
    "arithmetic": (12, sums.task_arithmetic),
    "arithmetic_text": (3, sums.task_arithmetic_text),
    "word_problem": (3, sums.task_word_problem),
    "compare": (5, sums.task_compare),
    "counting": (2, sums.task_counting),
    "sort": (3, sums.task_sort),
    "letters": (12, spelling.task_letters),
    "who_has": (4, copying.task_who_has),
    "format": (3, copying.task_format),
    "translate": (4, copying.task_translate),
    "howto": (2, copying.task_howto),
    "python_chat": (4, programs.task_python_chat),
    "python_text": (2, programs.task_python_text),
    "zh_fact": (7, chinese.task_zh_fact),
    "zh_arithmetic": (4, chinese.task_zh_arithmetic),
    "zh_compare": (1, chinese.task_zh_compare),
    "zh_story": (8, chinese.task_zh_story),
    "zh_howto": (1, chinese.task_zh_howto),
    "zh_who": (2, chinese.task_zh_who),
}
SYSTEM = "You are a helpful assistant."


def sample(rng: Random, split: str = "train", task: str | None = None) -> tuple[str, Document]:
    """A task's name and a document of it that belongs to the split, "train" or "heldout"."""
    name = task or rng.choices(list(TASKS), [weight for weight, _ in TASKS.values()])[0]
    for _ in range(400):
        document = TASKS[name][1](rng)
        if belongs(document.key, split):
            return name, document
    return sample(rng, split)  # this task has nothing in that split


def belongs(key: str, split: str) -> bool:
    """Whether what has this key belongs to the split; what has none, to training."""
    return is_heldout(key) == (split == "heldout") if key else split == "train"


def chatml(turns: tuple[tuple[str, str], ...], system: str | None = SYSTEM) -> str:
    """A conversation in ChatML."""
    text = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    for user, assistant in turns:
        text += f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{assistant}<|im_end|>\n"
    return text


def render(rng: Random, document: Document) -> str:
    """A document as training text, ending with <|endoftext|>; half of the conversations have a system message."""
    if not document.turns:
        return document.plain + "<|endoftext|>"
    return chatml(document.turns, SYSTEM if rng.random() < 0.5 else None) + "<|endoftext|>"


def conversation(rng: Random, split: str = "train") -> Document:
    """A document, or one conversation made of two or three short ones."""
    name, document = sample(rng, split)
    turns = document.turns
    if turns and rng.random() < 0.3 and "story" not in name:
        for _ in range(rng.randint(1, 2)):
            _, other = sample(rng, split)
            if other.turns and sum(map(len, other.turns[0])) < 300:
                turns += other.turns
    return Document(document.key, document.plain, turns)
