"""Small helpers for English phrases."""


def an(word: str) -> str:
    """The word behind its indefinite article."""
    return ("an " if word[0].lower() in "aeiou" else "a ") + word


def cap(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]


def join_and(words: list[str]) -> str:
    """The words as a list in a sentence."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
