"""Short questions about the world, and their answers."""

from random import Random

from demo_models.documents import Document, ask, chat
from demo_models.phrases import an, cap, join_and
from demo_models.tables import entries, names, pairs, rows


def task_thing_color(rng: Random) -> Document:
    """What color something has."""
    thing, color = rng.choice(list(pairs("thing_colors").items()))
    return ask(
        rng,
        [
            "What color is {t}?",
            "What colour is {t}?",
            "Tell me the color of {t}.",
            "Which color does {t} have?",
            "What is the color of {t}?",
            "{T}: which color is it?",
        ],
        f"color|{thing}",
        "{T} is {c}.",
        t=thing,
        T=cap(thing),
        c=color,
    )


def task_animal(rng: Random) -> Document:
    """Kind, legs, young, sound, home or food of an animal."""
    name = rng.choice(list(rows("animals")))
    _, kind, legs, young, sound, home, food = rows("animals")[name]
    a = an(name)
    choice = rng.choice(["class", "legs", "young", "sound", "home", "food"])
    if choice == "sound" and sound is None:
        choice = "legs"
    slots = {
        "a": a,
        "A": cap(a),
        "n": name,
        "k": an(kind),
        "y": an(young),
        "s": sound,
        "h": home,
        "i": "on" if home.startswith(("the ice", "the web")) else "in",
        "f": food,
        "l": names("number_words")[legs] if legs else "no",
    }
    templates, answer = rows("animal_questions")[choice]
    return ask(rng, templates, f"animal|{name}|{choice}", answer, **slots)


def task_opposite(rng: Random) -> Document:
    """The opposite of a word."""
    first, second = rng.choice(entries("opposites"))
    if rng.random() < 0.5:
        first, second = second, first
    # A word that is listed twice ("light", "answer") keeps its first partner.
    for left, right in entries("opposites"):
        if first == left:
            second = right
            break
        if first == right:
            second = left
            break
    return ask(
        rng,
        [
            "What is the opposite of {a}?",
            'What\'s the opposite of "{a}"?',
            "Give me the opposite of {a}.",
            "Which word means the opposite of {a}?",
            "Opposite of {a}?",
        ],
        f"opp|{first}",
        "The opposite of {a} is {b}.",
        a=first,
        b=second,
    )


def task_capital(rng: Random) -> Document:
    """The capital of a country, or the country of a capital."""
    country, (capital, _, _) = rng.choice(list(rows("capitals").items()))
    if rng.random() < 0.3:
        return ask(
            rng,
            ["{b} is the capital of which country?", "Which country has the capital {b}?"],
            f"country|{country}",
            "{b} is the capital of {c}.",
            b=capital,
            c=country,
        )
    return ask(
        rng,
        [
            "What is the capital of {c}?",
            "Tell me the capital of {c}.",
            "Which city is the capital of {c}?",
            "What's the capital city of {c}?",
            "Capital of {c}?",
        ],
        f"capital|{country}",
        "The capital of {c} is {b}.",
        b=capital,
        c=country,
    )


def task_use(rng: Random) -> Document:
    """What a thing is used for."""
    thing, use = rng.choice(list(pairs("uses").items()))
    verb = "are" if thing == "scissors" else "is"
    return ask(
        rng,
        ["What {v} {t} used for?", "What do you use {t} for?", "Why do people need {t}?", "What can I do with {t}?"],
        f"use|{thing}",
        "{T} {v} used for {u}.",
        t=thing,
        T=cap(thing),
        u=use,
        v=verb,
    )


def task_job(rng: Random) -> Document:
    """What somebody does, or who does it."""
    job, does = rng.choice(list(pairs("jobs").items()))
    if rng.random() < 0.3:
        return ask(rng, ["Who {d}?", "Which person {d}?"], f"who|{job}", "{J} {d}.", J=cap(job), d=does)
    return ask(
        rng,
        ["What does {j} do?", "What is the job of {j}?", "Tell me what {j} does.", "What work does {j} do?"],
        f"job|{job}",
        "{J} {d}.",
        j=job,
        J=cap(job),
        d=does,
    )


def task_grammar(rng: Random) -> Document:
    """Irregular plurals and past tenses."""
    if rng.random() < 0.5:
        one, many = rng.choice(list(pairs("plurals").items()))
        return ask(
            rng,
            [
                "What is the plural of {a}?",
                "One {a}, two what?",
                "Give me the plural form of {a}.",
                "How do you write more than one {a}?",
            ],
            f"plural|{one}",
            "The plural of {a} is {b}.",
            a=one,
            b=many,
        )
    now, past = rng.choice(list(pairs("past_tenses").items()))
    return ask(
        rng,
        [
            "What is the past tense of {a}?",
            'Give me the past tense of "{a}".',
            "Today I {a}. Yesterday I what?",
            "How do you write {a} in the past tense?",
        ],
        f"past|{now}",
        "The past tense of {a} is {b}.",
        a=now,
        b=past,
    )


def task_sequence(rng: Random) -> Document:
    """The day or month before or after another."""
    items, name = rng.choice([(names("days"), "day"), (names("months"), "month")])
    index = rng.randrange(len(items))
    after = rng.random() < 0.6
    answer = items[(index + (1 if after else -1)) % len(items)]
    word = "after" if after else "before"
    return ask(
        rng,
        [
            "What {n} comes {w} {x}?",
            "Which {n} is {w} {x}?",
            "Tell me the {n} {w} {x}.",
            "Name the {n} that comes right {w} {x}.",
        ],
        f"seq|{items[index]}|{word}",
        "{y} comes {w} {x}.",
        n=name,
        w=word,
        x=items[index],
        y=answer,
    )


def task_fact(rng: Random) -> Document:
    """A fact that is learned by heart."""
    question, answer = rng.choice(list(pairs("facts").items()))
    style = rng.randrange(4)
    question = [
        question,
        question.lower(),
        "Can you tell me: " + question[0].lower() + question[1:],
        "Question: " + question,
    ][style]
    return chat(f"fact|{answer}|{style}", (question, answer))


def task_identity(rng: Random) -> Document:
    """Who the model is, and greetings; never held out."""
    table = pairs("identity") if rng.random() < 0.5 else pairs("greetings")
    question, answer = rng.choice(list(table.items()))
    return chat("", (question, answer))


def task_category(rng: Random) -> Document:
    """Members of a group, and the group of a thing."""
    kind = rng.choice(list(rows("categories")))
    if rng.random() < 0.5:
        count = rng.randint(2, 5)
        items = rng.sample(rows("categories")[kind], count)
        return ask(
            rng,
            ["Name {n} {k}.", "List {n} {k}.", "Give me {n} {k}.", "Can you name {n} {k}?"],
            f"list|{kind}|{count}",
            "{x}.",
            n=names("number_words")[count],
            k=kind,
            x=cap(join_and(items)),
        )
    item = rng.choice(rows("categories")[kind])
    if rng.random() < 0.5:
        return ask(
            rng,
            ["What is {t}?", "What kind of thing is {t}?", "To which group does {t} belong?"],
            f"isa|{kind}|{item}",
            "{T} is {k}.",
            t=item,
            T=cap(item),
            k=pairs("category_members")[kind],
        )
    other = rng.choice([k for k in rows("categories") if item not in rows("categories")[k]] + [kind])
    yes = item in rows("categories")[other]
    return ask(
        rng,
        ["Is {t} {k}?", "Would you say that {t} is {k}?"],
        f"isa2|{item}|{other}",
        "Yes, {t} is {k}." if yes else "No, {t} is not {k}. It is {c}.",
        t=item,
        k=pairs("category_members")[other],
        c=pairs("category_members")[kind],
    )


def task_odd_one(rng: Random) -> Document:
    """The one of four words that belongs to another group."""
    kind, other = rng.sample(list(rows("categories")), 2)
    odd = rng.choice([x for x in rows("categories")[other] if x not in rows("categories")[kind]])
    words = rng.sample([x for x in rows("categories")[kind] if x not in rows("categories")[other]], 3)
    words.insert(rng.randrange(4), odd)
    return ask(
        rng,
        ["Which one does not belong: {l}?", "Find the odd one out: {l}."],
        f"odd|{'|'.join(sorted(words))}",
        "{o} does not belong, because it is {k}.",
        l=", ".join(words),
        o=cap(odd),
        k=pairs("category_members")[other],
    )
