"""Losses as response surfaces: what a training at a setting gives, for simulations of searches.

Settings are points of the unit cube: log-rate, log-decay and, where a loss has one, an option of its own.
Accuracy in points is 95 at the peak and falls off with the square of the distance, down to a guess of 10. A
training adds the effect of its seed, and validation that of its few images.

The surfaces that the design was found on are known in words only: validation noise of .3 to .5 points, seeds
of .1 to .3, searches that differ 1.3 times as much as seeds do, and powers of .64, .85 and .96 with 96, 192
and 400 trainings at half a point. The powers of the six pairs ask for steeper surfaces than 1.3 does, so
there are two steepnesses: ``GENTLE`` was set for 1.3, with searches of 16 Sobol points; ``STEEP``, one
number, to come near the three powers, which are therefore no evidence by themselves. No number was set for a
rate of false verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.stats import qmc

from bench.statistics.searches import best_of

Floats = NDArray[np.float64]

PEAK, GUESS = 95.0, 10.0
STEEP, GENTLE = 25.0, 8.3
"""Points lost at distance 1 from the peak, of a surface of width 1. Searches of 16 Sobol points differ 2.3
and 1.3 times as much as seeds do, of random ones 3.0 and 1.5 times, averaged over the surfaces of the six."""
SHARED = 0.3
"""Correlation of the effects of one seed on two losses."""
POOL = 2**18
"""Trials that the truth is computed from: see :func:`_pool`."""


@dataclass(frozen=True)
class Surface:
    """One loss on one data set."""

    place: tuple[float, float] = (0.5, 0.5)
    width: tuple[float, float] = (1.0, 1.0)
    tilt: float = 0.0
    """Correlation of rate and decay along the ridge."""
    options: tuple[tuple[float, float], ...] = ()
    """Place and width of each option of its own."""
    cliff: float = 1.0
    """Rates above it diverge."""
    second: float | None = None
    """Points below the peak of another one, at the opposite place."""
    fall: float = STEEP
    seed: float = 0.2
    validation: float = 0.4
    images: int | None = None
    """Validation accuracy is a multiple of 1/images; None: continuous."""
    heavy: bool = False
    """Effects of seeds are of Student's t with 3 degrees of freedom, with the same variance."""

    def accuracy(self, points: Floats) -> Floats:
        """Expected accuracy [...] of settings [..., 2 + options]; a guess where training diverges."""
        loss = self._lost(points, self.place)
        if self.second is not None:
            opposite = (1 - self.place[0], 1 - self.place[1])
            loss = np.minimum(loss, self.second + self._lost(points, opposite))
        for number, (place, width) in enumerate(self.options):
            loss = loss + self.fall * ((points[..., 2 + number] - place) / width) ** 2
        room = PEAK - GUESS
        fallen = PEAK - room * (1 - np.exp(-loss / room))
        return np.where(points[..., 0] > self.cliff, GUESS, fallen)

    def _lost(self, points: Floats, place: tuple[float, float]) -> Floats:
        x, y = ((points[..., k] - place[k]) / self.width[k] for k in (0, 1))
        return self.fall * (x**2 - 2 * self.tilt * x * y + y**2) / (1 - self.tilt**2)

    def scores(self, points: Floats, seeds: Floats, noise: Floats) -> tuple[Floats, Floats]:
        """Validation (NaN: diverged) and test of a training at each point, of standard normal numbers."""
        diverged = points[..., 0] > self.cliff
        test = self.accuracy(points) + np.where(diverged, 0, self.seed * seeds)
        validation = test + self.validation * noise
        if self.images:
            validation = np.rint(validation / 100 * self.images) / self.images * 100
        return np.where(diverged, np.nan, validation), test

    def effects(self, normal: Floats) -> Floats:
        """Effects of seeds, in standard deviations, of standard normal numbers."""
        return stats.t.ppf(special.ndtr(normal), 3) / 3**0.5 if self.heavy else normal

    def truth(self, budget: int, retrained: bool = False) -> float:
        """Expected test accuracy of the best of so many trials, as it came or with another seed."""
        return _truth(self, budget, retrained)


@cache
def _truth(surface: Surface, budget: int, retrained: bool) -> float:
    cube, validation, test = _pool(surface)
    return best_of(validation, surface.accuracy(cube) if retrained else test, budget)


@cache
def _pool(surface: Surface) -> tuple[Floats, Floats, Floats]:
    """Very many trials, as evenly spread as can be."""
    dimensions = 2 + len(surface.options)
    cube = qmc.Sobol(dimensions + 2, rng=1).random(POOL)
    normal = special.ndtri(cube[:, dimensions:])
    points = cube[:, :dimensions]
    return points, *surface.scores(points, surface.effects(normal[:, 0]), normal[:, 1])


@dataclass(frozen=True)
class Pair:
    """Two losses that are tried at the same settings with the same seeds."""

    a: Surface
    b: Surface

    def swapped(self) -> Pair:
        return Pair(self.b, self.a)

    def lead(self, budget: int, retrained: bool = False) -> float:
        """By how much a is truly better at that budget."""
        return self.a.truth(budget, retrained) - self.b.truth(budget, retrained)

    def points(self, draw: np.random.Generator, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Settings of both losses, the same where both have the dimension."""
        most = max(len(self.a.options), len(self.b.options))
        points = draw.random((*shape, 2 + most))
        return points[..., : 2 + len(self.a.options)], points[..., : 2 + len(self.b.options)]

    def train(
        self, draw: np.random.Generator, points: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Validation and test of a, then those of b."""
        shape = points[0].shape[:-1]
        a, b = self.seeds(draw, shape)
        noise = draw.standard_normal((2, *shape))
        return *self.a.scores(points[0], a, noise[0]), *self.b.scores(points[1], b, noise[1])

    def seeds(self, draw: np.random.Generator, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Effects of the same seeds on both losses, in standard deviations."""
        shared, *own = draw.standard_normal((3, *shape))
        a, b = (SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * of for of in own)
        return self.a.effects(a), self.b.effects(b)

    def made(self, fall: float, seed: float, validation: float) -> Pair:
        """The same pair with another steepness and other noise."""
        return Pair(*(replace(of, fall=fall, seed=seed, validation=validation) for of in (self.a, self.b)))

    def steep(self, fall: float) -> Pair:
        """The same pair with another steepness."""
        return Pair(replace(self.a, fall=fall), replace(self.b, fall=fall))


PLAIN = Surface()

SIX = {
    "the same": Pair(PLAIN, PLAIN),
    "another width": Pair(PLAIN, Surface(width=(0.6, 0.8))),
    "another place": Pair(Surface(place=(0.3, 0.6)), Surface(place=(0.7, 0.4))),
    "an option": Pair(PLAIN, Surface(options=((0.4, 1.0),))),
    "divergence": Pair(PLAIN, Surface(place=(0.55, 0.5), cliff=0.65)),
    "all of these": Pair(
        Surface(place=(0.35, 0.5)),
        Surface(place=(0.6, 0.4), width=(0.8, 1.2), options=((0.5, 1.5),), cliff=0.75),
    ),
}
"""As the pairs that the design was found on are described."""

NOISE = ((0.1, 0.3), (0.2, 0.4), (0.3, 0.5))
"""Of seeds and of validation, for each of the six."""

OTHERS = {
    "500 validation images: many ties": Pair(
        Surface(images=500), Surface(images=500, width=(1.5, 1.5), place=(0.3, 0.5))
    ),
    "half of one space diverges": Pair(PLAIN, Surface(place=(0.4, 0.5), cliff=0.5)),
    "six tenths of it": Pair(PLAIN, Surface(place=(0.2, 0.5), cliff=0.4)),
    "a ridge": Pair(PLAIN, Surface(tilt=0.95)),
    "a second peak, half a point below": Pair(
        PLAIN, Surface(place=(0.15, 0.2), width=(0.4, 0.6), second=0.5)
    ),
    "seeds with heavy tails": Pair(Surface(heavy=True), Surface(heavy=True, width=(1.5, 1), seed=0.3)),
    "three options": Pair(PLAIN, Surface(options=((0.5, 1.5), (0.3, 2.0), (0.8, 2.0)))),
    "a narrow peak": Pair(Surface(width=(2, 2)), Surface(place=(0.8, 0.3), width=(0.35, 0.5))),
}


DIVERGING = {
    f"{share:.0%} of one space diverges": Pair(PLAIN, Surface(place=((1 - share) / 2, 0.5), cliff=1 - share))
    for share in (0.7, 0.8, 0.9)
}
"""Where a whole search may come to nothing but guesses."""


def random_pairs(number: int) -> list[Pair]:
    draw = np.random.default_rng(40)

    def surface() -> Surface:
        return Surface(
            place=tuple(draw.uniform(0.2, 0.8, 2)),
            width=tuple(np.exp(draw.normal(0, 0.4, 2))),
            tilt=draw.uniform(-0.7, 0.7),
            options=((draw.uniform(0.2, 0.8), 1.5 * np.exp(draw.normal(0, 0.4))),) * (draw.random() < 0.5),
            cliff=draw.uniform(0.6, 0.95) if draw.random() < 0.3 else 1.0,
            seed=draw.uniform(0.1, 0.3),
            validation=draw.uniform(0.3, 0.5),
        )

    return [Pair(surface(), surface()) for _ in range(number)]
