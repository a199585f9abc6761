"""What a comparison lets us say: a word, about what, and the interval and the p that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Word(StrEnum):
    """The verdict on a loss against its baseline."""

    SUPERIOR = "superior"
    INFERIOR = "inferior"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``, which covers the true difference with probability ``level``."""

    low: float
    high: float
    level: float

    def excludes_zero(self) -> bool:
        """Whether no difference is not in it."""
        return self.low > 0 or self.high < 0

    def within(self, margin: float) -> bool:
        """Whether all of it differs from 0 by no more than ``margin``."""
        return -margin <= self.low and self.high <= margin


@dataclass(frozen=True)
class Verdict:
    """A word and all that belongs to it: nobody has to infer one from another."""

    word: Word
    scope: str = ""
    """What it is about, where that is less than all runs on new images, too: ``on this test set``."""
    interval: Interval | None = None
    """The one that decided."""
    p: float | None = None
    """The one that decided: of no difference, or of a difference that matters where two are equivalent."""

    @property
    def phrase(self) -> str:
        """The word, and its scope where that is narrower."""
        return f"{self.word} {self.scope}" if self.scope else self.word.value


def better_or_worse(estimate: float, *, higher_is_better: bool) -> Word:
    """What a difference other than 0 is called, in the metric's own direction."""
    return Word.SUPERIOR if (estimate > 0) == higher_is_better else Word.INFERIOR


def percent(share: float) -> str:
    """A level of confidence: ``95 %``."""
    return f"{100 * share:.4g} %"
