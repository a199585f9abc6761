"""Learning rates against torch's own schedulers."""

from __future__ import annotations

import pytest
import torch

from bench.choices import Choice
from bench.recipe import Cosine, OneCycle
from bench.training.optimization import learning_rate, random_cube


def test_one_cycle_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=100, cycle_momentum=False)
    schedule = Choice("one_cycle", OneCycle())
    for step in range(100):
        assert learning_rate(schedule, step, 100, 10) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        if step < 99:
            theirs.step()


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    schedule = Choice("cosine", Cosine(final=0.1))
    for step in range(50):
        assert learning_rate(schedule, step, 50, 10) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        theirs.step()


def test_warm_up_is_linear_and_ends_at_the_full_rate() -> None:
    schedule = Choice("cosine", Cosine(warmup_epochs=2))
    rates = [learning_rate(schedule, step, 100, 5) for step in range(12)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0


def test_random_cube_has_the_cubes_distribution() -> None:
    draws = torch.tensor([random_cube(seed) for seed in range(4000)])
    assert draws.min() > 0
    assert draws.max() < 1
    # E u³ = 1/4 and Var u³ = 1/7 − 1/16; four standard errors.
    assert abs(draws.mean() - 0.25) < 4 * (0.0804 / 4000) ** 0.5
