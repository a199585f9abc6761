"""Is the difference small enough not to matter? That a test found nothing is no evidence for it; this is."""

from __future__ import annotations

from typing import Protocol

from scipy import special

from bench.statistics.paired import positive


class Estimated(Protocol):
    """A difference and its standard error: a PairedT, or a Welch."""

    @property
    def estimate(self) -> float | None: ...
    @property
    def se(self) -> float | None: ...
    @property
    def df(self) -> float | None: ...


def tost(result: Estimated, margin: float) -> float | None:
    """p of two one-sided t-tests: the true difference lies beyond −margin or +margin unless this is small.

    Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987). The larger of the two p-values belongs to the margin
    that the estimate is nearer to. A margin of 0 is never met: p ≥ ½.

    Args:
        margin: the largest difference that does not matter, in the unit of the estimate.

    Returns:
        p in (0, 1], or None where the result has no standard error above 0.

    Raises:
        ValueError: a margin below 0, or none at all.
    """
    if not margin >= 0:
        raise ValueError(f"margin must be at least 0, found {margin}")
    if result.estimate is None or not result.se or result.df is None:
        return None
    return positive(float(special.stdtr(result.df, (abs(result.estimate) - margin) / result.se)))
