"""Comparing two printed reports: the same text, and the same numbers but for their last digits."""

import re
from decimal import Decimal

_NUMBER = re.compile(r"-?\d+\.\d+")


def assert_same_report(found: str, expected: str, n_units: int) -> None:
    """All but the numbers has to be equal; numbers may differ by so many units of the last printed digit."""
    for line, wanted in zip(found.splitlines(), expected.splitlines(), strict=True):
        assert _skeleton(line) == _skeleton(wanted)
        for number, other in zip(_NUMBER.findall(line), _NUMBER.findall(wanted), strict=True):
            unit = Decimal(1).scaleb(-len(other.partition(".")[2]))
            assert abs(Decimal(number) - Decimal(other)) <= n_units * unit, f"{line}\n{wanted}"


def _skeleton(line: str) -> str:
    """The line with a mark for each number, which takes the blanks that align it along."""
    return re.sub(r" *-?\d+\.\d+", "#", line)
