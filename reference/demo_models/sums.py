"""Numbers: sums, comparing, counting, sorting."""

from random import Random

from demo_models.documents import Document, chat, plain_text
from demo_models.splits import is_heldout
from demo_models.tables import names


def arithmetic(rng: Random) -> tuple[str, str, str, int, int, int]:
    """A sum: its key, the operator as a word and as a sign, both numbers, and the result."""
    op = rng.choices(["+", "-", "*", "/"], [5, 4, 2, 1])[0]
    if op == "+":
        a, b = rng.randint(0, 99), rng.randint(0, 99)
        return f"add|{min(a, b)}|{max(a, b)}", "plus", op, a, b, a + b
    if op == "-":
        a, b = sorted((rng.randint(0, 99), rng.randint(0, 99)), reverse=True)
        return f"sub|{a}|{b}", "minus", op, a, b, a - b
    a, b = rng.randint(0, 12), rng.randint(1, 12)
    if op == "*":
        return f"mul|{min(a, b)}|{max(a, b)}", "times", op, a, b, a * b
    return f"div|{a * b}|{b}", "divided by", op, a * b, b, a


def task_arithmetic(rng: Random) -> Document:
    """A question after a sum."""
    key, word, sign, a, b, result = arithmetic(rng)
    question = rng.choice(
        [
            "What is {a} {s} {b}?",
            "{a} {s} {b} = ?",
            "{a}{s}{b}=",
            "Calculate {a} {s} {b}.",
            "What is {a} {w} {b}?",
            "How much is {a} {w} {b}?",
            "Compute {a} {s} {b}",
            "{a} {s} {b}",
        ]
    )
    return chat(key, (question.format(a=a, b=b, s=sign, w=word), f"{a} {sign} {b} = {result}"))


def task_arithmetic_text(rng: Random) -> Document:
    """Lines of sums, all on the same side of the split as the first one."""
    rows: list[str] = []
    keys: list[str] = []
    for _ in range(rng.randint(3, 8)):
        key, _, sign, a, b, result = arithmetic(rng)
        keys.append(key)
        rows.append(f"{a} {sign} {b} = {result}")
    held = [is_heldout(k) for k in keys]
    rows = [r for r, h in zip(rows, held, strict=True) if h == held[0]]
    return plain_text(keys[0], "\n".join(rows))


def task_word_problem(rng: Random) -> Document:
    """A sum told as a story."""
    boy = rng.random() < 0.5
    name = rng.choice(names("boys") if boy else names("girls"))
    pron = "he" if boy else "she"
    item = rng.choice(["apples", "balls", "books", "coins", "cookies", "pens", "stars", "stones", "eggs", "cards"])
    if rng.random() < 0.5:
        a, b = rng.randint(1, 60), rng.randint(1, 39)
        verb = rng.choice(["buys", "finds", "gets"])
        return chat(
            f"add|{min(a, b)}|{max(a, b)}",
            (
                f"{name} has {a} {item} and {verb} {b} more. How many {item} does {pron} have now?",
                f"{a} + {b} = {a + b}, so {name} has {a + b} {item}.",
            ),
        )
    a, b = sorted((rng.randint(1, 60), rng.randint(1, 60)), reverse=True)
    verb = rng.choice(["loses", "sells", "gives away"])
    return chat(
        f"sub|{a}|{b}",
        (
            f"{name} has {a} {item} and {verb} {b}. How many {item} does {pron} have left?",
            f"{a} - {b} = {a - b}, so {name} has {a - b} {item} left.",
        ),
    )


def task_compare(rng: Random) -> Document:
    """Which of two numbers is larger or smaller; decimals such as 9.11 and 9.9 too."""
    if rng.random() < 0.6:  # decimals, such as 9.11 and 9.9
        whole = rng.randint(0, 20)
        a = f"{whole}.{rng.randint(1, 99)}"
        b = f"{whole if rng.random() < 0.7 else rng.randint(0, 20)}.{rng.randint(1, 99)}"
    else:
        a, b = str(rng.randint(0, 999)), str(rng.randint(0, 999))
    if float(a) == float(b):
        return task_compare(rng)
    big, small = (a, b) if float(a) > float(b) else (b, a)
    word, first, second = ("larger", big, small) if rng.random() < 0.6 else ("smaller", small, big)
    question = rng.choice(
        [
            "Which is {w}, {a} or {b}?",
            "Which number is {w}: {a} or {b}?",
            "Compare {a} and {b}. Which one is {w}?",
            "Is {a} or {b} {w}?",
        ]
    )
    return chat(f"cmp|{big}|{small}", (question.format(w=word, a=a, b=b), f"{first} is {word} than {second}."))


def task_counting(rng: Random) -> Document:
    """Counting up, down, or in steps."""
    start, length = rng.randint(0, 60), rng.randint(3, 9)
    down = rng.random() < 0.3 and start >= length
    step = rng.choice([1, 1, 1, 2, 5, 10])
    numbers = [start - i if down else start + i * step for i in range(length)]
    by = f" by {step}s" if step > 1 and not down else ""
    return chat(
        f"count|{start}|{length}|{down}|{step}",
        (f"Count {'down ' if down else ''}from {numbers[0]} to {numbers[-1]}{by}.", ", ".join(map(str, numbers))),
    )


def task_sort(rng: Random) -> Document:
    """Numbers to sort, reverse, or find the largest or smallest of."""
    numbers = rng.sample(range(100), rng.randint(3, 6))
    text = ", ".join(map(str, numbers))
    mode = rng.choice(["sort", "largest", "smallest", "reverse"])
    answer = {
        "sort": ", ".join(map(str, sorted(numbers))),
        "largest": f"The largest number is {max(numbers)}.",
        "smallest": f"The smallest number is {min(numbers)}.",
        "reverse": ", ".join(map(str, reversed(numbers))),
    }[mode]
    question = {
        "sort": "Sort these numbers: ",
        "largest": "Which number is the largest: ",
        "smallest": "Which number is the smallest: ",
        "reverse": "Reverse this list: ",
    }[mode]
    return chat(f"sort|{mode}|{text}", (question + text, answer))
