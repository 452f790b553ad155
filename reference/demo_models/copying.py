"""Reading, formatting, translating and explaining."""

from random import Random

from demo_models.documents import Document, ask, chat
from demo_models.phrases import an, join_and
from demo_models.tables import names, pairs, rows


def task_who_has(rng: Random) -> Document:
    """Who has what, read from the question."""
    people = rng.sample(names("boys") + names("girls"), rng.randint(2, 4))
    items = rng.sample(names("have_items"), len(people))
    colors = [rng.choice(list(pairs("colors"))) for _ in people]
    text = " ".join(f"{p} has {an(c)} {i}." for p, c, i in zip(people, colors, items, strict=True))
    pick = rng.randrange(len(people))
    p, c, i = people[pick], colors[pick], items[pick]
    mode = rng.randrange(4)
    question, answer = [
        (f"What does {p} have?", f"{p} has {an(c)} {i}."),
        (f"Who has the {i}?", f"{p} has the {i}."),
        (f"What color is the {i}?", f"The {i} is {c}."),
        ("How many people are in the text?", f"There are {len(people)} people: {join_and(people)}."),
    ][mode]
    return chat(f"who|{'|'.join(sorted(people))}", (f"{text} {question}", answer))


def task_format(rng: Random) -> Document:
    """JSON, bullet lists, and repeating a sentence."""
    name, age, city = (
        rng.choice(names("boys") + names("girls")),
        rng.randint(3, 90),
        rng.choice(list(rows("capitals").values()))[0],
    )
    mode = rng.randrange(4)
    key = f"json|{name}|{age}|{city}"
    if mode == 0:
        return chat(
            key,
            (
                f"Write JSON for a person named {name}, aged {age}, from {city}.",
                f'{{"name": "{name}", "age": {age}, "city": "{city}"}}',
            ),
        )
    if mode == 1:
        return chat(
            key,
            (
                f'Read this JSON: {{"name": "{name}", "age": {age}, "city": "{city}"}} Where is {name} from?',
                f"{name} is from {city}.",
            ),
        )
    if mode == 2:
        words = rng.sample(names("have_items"), rng.randint(3, 5))
        return chat(
            "bul|" + "|".join(words),
            (f"Write a bullet list of these words: {', '.join(words)}.", "\n".join(f"- {w}" for w in words)),
        )
    sentence = f"{name} is {age} years old and lives in {city}."
    return chat(key, (f"Repeat this sentence: {sentence}", sentence))


def task_translate(rng: Random) -> Document:
    """A word from English to Chinese or back."""
    english, chinese = rng.choice(
        list(pairs("translations").items())
        + list(pairs("colors").items())
        + [(k, v[0]) for k, v in rows("animals").items()]
    )
    if rng.random() < 0.5:
        return ask(
            rng,
            [
                'How do you say "{e}" in Chinese?',
                "Translate {e} to Chinese.",
                "What is {e} in Chinese?",
                "“{e}”用中文怎么说？",
            ],
            f"tozh|{english}",
            "{c}",
            e=english,
            c=chinese,
        )
    return ask(
        rng,
        [
            "What does {c} mean in English?",
            "Translate {c} to English.",
            "“{c}”用英语怎么说？",
            "What is {c} in English?",
        ],
        f"toen|{english}",
        "{e}",
        e=english,
        c=chinese,
    )


def task_howto(rng: Random) -> Document:
    """The steps that lead to something."""
    task = rng.choice(list(rows("howtos")))
    choices, steps = rows("howtos")[task]
    x = rng.choice(choices)
    text = "\n".join(f"{n}. {s.format(x=x)}" for n, s in enumerate(steps, 1))
    return ask(
        rng,
        [
            "How do I {t}?",
            "Tell me the steps to {t}.",
            "How can I {t}?",
            "Explain how to {t}.",
            "Give me a list of steps to {t}.",
        ],
        f"howto|{task}|{x}",
        text.replace("{", "{{").replace("}", "}}"),
        t=task.format(x=x),
    )
