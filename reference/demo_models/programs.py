"""Short Python functions."""

from random import Random

from demo_models.documents import Document, chat, plain_text
from demo_models.phrases import cap
from demo_models.splits import is_heldout
from demo_models.tables import entries


def python_function(rng: Random) -> tuple[str, str, str, str]:
    """A small function: its key, what it does, its name and its code."""
    desc, names, args, body = rng.choice(entries("python_functions"))
    name, arg = rng.choice(names), rng.choice(args)
    doc = f'    """{cap(desc)}."""\n' if rng.random() < 0.3 else ""
    code = f"def {name}({arg}):\n{doc}    {body.format(*arg.split(', '))}"
    return f"py|{name}|{arg}", desc, name, code


def task_python_chat(rng: Random) -> Document:
    """A function that was asked for."""
    key, desc, name, code = python_function(rng)
    named = rng.random() < 0.3
    question = rng.choice(
        [
            "Write a Python function that {d}.",
            "Write a function that {d}.",
            "Give me Python code that {d}.",
            "How do I write a Python function that {d}?",
        ]
    ).format(d=desc)
    if named:
        question += f" Call it {name}."
    return chat(key, (question, f"```python\n{code}\n```"))


def task_python_text(rng: Random) -> Document:
    """A few functions as plain text, all on the same side of the split as the first one."""
    drawn = [python_function(rng) for _ in range(rng.randint(1, 4))]
    first = drawn[0][0]
    parts = [code for key, _, _, code in drawn if is_heldout(key) == is_heldout(first)]
    return plain_text(first, "\n\n\n".join(parts) + "\n")
