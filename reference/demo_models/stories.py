"""Short stories and plain sentences."""

from random import Random

from demo_models.documents import Document, chat, plain_text
from demo_models.phrases import an, cap
from demo_models.tables import entries, names, pairs, rows


def story(rng: Random) -> tuple[str, dict[str, str], list[str]]:
    """A short story: its key, what its slots were filled with, and its sentences."""
    boy, mboy = rng.random() < 0.5, rng.random() < 0.5
    n, m = rng.choice(names("boys") if boy else names("girls")), rng.choice(names("boys") if mboy else names("girls"))
    while m == n:
        m = rng.choice(names("boys") if mboy else names("girls"))
    a = rng.choice([x for x in rows("animals") if x not in ("shark", "salmon", "whale", "bee", "ant", "spider")])
    pl, o, adj = rng.choice(names("places")), rng.choice(names("objects")), rng.choice(names("adjectives"))
    plot = rng.choice(list(rows("plots")))
    s = {
        "n": n,
        "m": m,
        "p": "he" if boy else "she",
        "P": "He" if boy else "She",
        "pos": "his" if boy else "her",
        "obj": "him" if boy else "her",
        "mpos": "his" if mboy else "her",
        "a": a,
        "aan": an(a),
        "aAn": cap(an(a)),
        "pl": pl,
        "o": o,
        "aadj": an(adj),
        "aobj": an(o),
        "trait": rng.choice(names("traits")),
        "pet": rng.choice(names("pet_names")),
        "food": rows("animals")[a][6],
        "c": rng.choice(list(pairs("colors"))),
        "adj": adj,
    }
    intro = rng.choice(
        [
            "Once upon a time there was a {trait} {k} named {n}.",
            "There once was a {trait} {k} called {n}.",
            "{n} was a {trait} {k} who lived near the {pl}.",
            "In a small house near the {pl} lived a {k} named {n}.",
        ]
    )
    sentences = [intro.format(k="boy" if boy else "girl", **s)]
    if rng.random() < 0.5:
        sentences.append(rng.choice(names("weather")))
    for options in rows("plots")[plot]:
        sentences.append(rng.choice(options).format(**s))
    sentences.append(rng.choice(names("endings")).format(**s))
    return f"story|{n}|{a}|{o}|{pl}", s, sentences


def task_story_text(rng: Random) -> Document:
    """A story as plain text."""
    key, s, sentences = story(rng)
    title = f"The {cap(s['a'])} and the {cap(s['o'])}\n\n" if rng.random() < 0.3 else ""
    return plain_text(key, title + " ".join(sentences))


def task_story_chat(rng: Random) -> Document:
    """A story that was asked for, and perhaps a question about it."""
    key, s, sentences = story(rng)
    request = rng.choice(names("story_asks")).format(**s)
    turns = [(request, " ".join(sentences))]
    if rng.random() < 0.35:
        turns.append(story_question(rng, s))
    return chat(key, *turns)


def story_question(rng: Random, s: dict[str, str]) -> tuple[str, str]:
    """A question about a story, and the answer."""
    return rng.choice(
        [
            ("Who is the story about?", f"The story is about {s['n']}."),
            (f"What is the name of the {s['a']}?", f"The {s['a']} is called {s['pet']}."),
            ("Where does the story happen?", f"The story happens in the {s['pl']}."),
            (f"What kind of {s['o']} is in the story?", f"It is {s['aadj']} {s['o']}."),
            (f"What animal is {s['pet']}?", f"{s['pet']} is {s['aan']}."),
        ]
    )


def task_story_reading(rng: Random) -> Document:
    """A story, and a question about it."""
    key, s, sentences = story(rng)
    question, answer = story_question(rng, s)
    text = " ".join(sentences)
    if s["pet"] not in text or s["pl"] not in text or s["adj"] not in text:
        question, answer = "Who is the story about?", f"The story is about {s['n']}."
    return chat(key, (f"{text}\n\n{question}", answer))


def task_sentences(rng: Random) -> Document:
    """A few sentences of facts as plain text."""
    lines = []
    for _ in range(rng.randint(3, 6)):
        kind = rng.randrange(6)
        if kind == 0:
            thing, color = rng.choice(list(pairs("thing_colors").items()))
            lines.append(f"{cap(thing)} is {color}.")
        elif kind == 1:
            name = rng.choice(list(rows("animals")))
            _, cls, _, young, _, _, food = rows("animals")[name]
            lines.append(
                rng.choice(
                    [
                        f"{cap(an(name))} is {an(cls)}.",
                        f"{cap(an(name))} eats {food}.",
                        f"A young {name} is called {an(young)}.",
                    ]
                )
            )
        elif kind == 2:
            country, (capital, _, _) = rng.choice(list(rows("capitals").items()))
            lines.append(f"The capital of {country} is {capital}.")
        elif kind == 3:
            job, does = rng.choice(list(pairs("jobs").items()))
            lines.append(f"{cap(job)} {does}.")
        elif kind == 4:
            thing, use = rng.choice(list(pairs("uses").items()))
            lines.append(f"{cap(thing)} {'are' if thing == 'scissors' else 'is'} used for {use}.")
        else:
            a, b = rng.choice(entries("opposites"))
            lines.append(f"The opposite of {a} is {b}.")
    return plain_text("sent|" + lines[0] + lines[1], " ".join(lines))
