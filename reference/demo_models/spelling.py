"""The letters of words."""

from random import Random

from demo_models.documents import Document, chat
from demo_models.tables import spelling_words


def task_letters(rng: Random) -> Document:
    """Counting, spelling, and turning round the letters of a word."""
    word = rng.choice(spelling_words())
    spaced = " ".join(word)
    mode = rng.choices(["count", "spell", "length", "first", "reverse"], [6, 2, 1, 1, 1])[0]
    if mode == "count":
        letter = rng.choice(word) if rng.random() < 0.8 else rng.choice("abcdefghijklmnopqrstuvwxyz")
        number = word.count(letter)
        question = rng.choice(
            [
                'How many letters "{l}" are in the word "{w}"?',
                "How many times does the letter {l} appear in {w}?",
                "How many {l}'s are in {w}?",
                "Count the letter {l} in the word {w}.",
                'How many {l} are there in "{w}"?',
            ]
        )
        times = "1 time" if number == 1 else f"{number} times"
        return chat(
            f"letters|{word}|{letter}",
            (
                question.format(l=letter, w=word),
                f"The word {word} is spelled: {spaced}. The letter {letter} appears {times}.",
            ),
        )
    if mode == "spell":
        question = rng.choice(["Spell the word {w}.", "How do you spell {w}?", 'Spell "{w}" letter by letter.'])
        return chat(f"spell|{word}", (question.format(w=word), f"The word {word} is spelled: {spaced}."))
    if mode == "length":
        question = rng.choice(["How many letters does the word {w} have?", 'How long is the word "{w}"?'])
        return chat(
            f"length|{word}",
            (question.format(w=word), f"The word {word} is spelled: {spaced}. It has {len(word)} letters."),
        )
    if mode == "first":
        which, letter = rng.choice([("first", word[0]), ("last", word[-1])])
        return chat(
            f"edge|{which}|{word}",
            (f"What is the {which} letter of {word}?", f"The {which} letter of {word} is {letter}."),
        )
    return chat(f"rev|{word}", (f"Write the word {word} backwards.", " ".join(reversed(word))))
