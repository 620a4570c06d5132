"""When a training counts as diverged: on losses made for the purpose."""

import numpy as np
import pytest

from mien.training.divergence import HELD, HORIZON, PATIENCE, Climb


def after(losses, climb=None, warm_from=0) -> tuple[Climb, int | None, int]:
    """The state after some losses, the step that told divergence, and how many steps were doubtful."""
    climb, told, doubtful = climb or Climb(), None, 0
    for step, loss in enumerate(losses):
        climb.update(float(loss), step >= warm_from)
        doubtful += climb.doubtful
        if climb.diverged and told is None:
            told = step
    return climb, told, doubtful


def noisy(level, steps, seed=0):
    """Losses about a level whose single batches differ by half of it."""
    return level * np.random.default_rng(seed).lognormal(-0.125, 0.5, steps)


def test_a_normal_run_is_never_in_doubt():
    for seed in range(20):
        falling = noisy(1, 5000, seed) * (4 + 40 * np.exp(-np.arange(5000) / 500))
        climb, told, doubtful = after(falling)
        assert (told, doubtful) == (None, 0) and 3.5 < climb.mean < 5


def test_a_single_wild_batch_is_passed_over():
    losses = noisy(4, 3000)
    losses[1000] = 60 * 4
    _, told, doubtful = after(losses)
    assert told is None and doubtful < 100


@pytest.mark.parametrize("factor", [3.5, 10, 1e6])
def test_a_run_that_climbs_and_stays_is_told(factor):
    losses = np.concatenate([noisy(4, 1000), noisy(4 * factor, 2000, 1)])
    climb, told, _ = after(losses)
    reached = 1000 - HORIZON * np.log(
        max(1 - 2 / (factor - 1), 1e-9)
    )  # where the mean is three times the lowest
    assert told == pytest.approx(reached + PATIENCE, rel=0.12)
    # in doubt from well before it is told
    _, _, doubtful = after(losses[: told + 1])
    assert doubtful > PATIENCE and climb.lowest == pytest.approx(4, rel=0.15)


def test_in_the_warm_up_a_loss_may_climb():
    losses = np.concatenate([noisy(1, 100), noisy(5, 1000, 1), noisy(1, 1000, 2)])
    assert after(losses)[1] is not None
    climb, told, doubtful = after(losses, warm_from=1800)
    assert told is None and doubtful > 500 and not climb.doubtful


def test_a_loss_that_settles_somewhat_higher_is_kept_again():
    climb, told, doubtful = after(np.concatenate([noisy(4, 1000), noisy(8, 3000, 1)]))
    assert told is None and HELD <= doubtful < HELD + 100 and not climb.doubtful


def test_the_state_goes_on_where_it_was():
    losses = np.concatenate([noisy(4, 500), noisy(40, 300, 1)])
    half, _, _ = after(losses[:600])
    assert after(losses[600:], Climb(**half.as_dict()))[0] == after(losses)[0]
    assert Climb(**Climb().as_dict()) == Climb()
