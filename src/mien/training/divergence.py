"""Tells a training that goes to pieces from the noise of its loss."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

HORIZON = 200
"""Steps over which the loss is smoothed."""
RATIO, PATIENCE = 3.0, 100
"""How many times its lowest the smoothed loss of a run that has diverged is, for more than how many steps."""
SUSPICIOUS, HELD = 1.5, 1000
"""From which multiple of the lowest on no checkpoint is made, and for how many steps at most."""

_FIRST = 20  # steps of which the mean is no more one batch's chance


@dataclass
class Climb:
    """How far the smoothed loss of a run is above its own lowest; the same in all processes.

    Attributes:
        steps: seen.
        mean: of the loss, exponential over `HORIZON` steps, plain at first.
        lowest: that it ever was.
        raised: steps in a row, the last one included, above `SUSPICIOUS` times the lowest.
        far: the same, above `RATIO` times the lowest.
    """

    steps: int = 0
    mean: float = 0.0
    lowest: float = math.inf
    raised: int = 0
    far: int = 0

    def update(self, loss: float, warm: bool) -> None:
        """After each step.

        Args:
            loss: of all processes' pictures.
            warm: whether the warm-up is over; in it a loss may climb.
        """
        self.steps += 1
        self.mean += (loss - self.mean) / min(self.steps, HORIZON)
        if self.steps >= _FIRST:
            self.lowest = min(self.lowest, self.mean)
        self.raised = self.raised + 1 if self.mean > SUSPICIOUS * self.lowest else 0
        self.far = self.far + 1 if warm and self.mean > RATIO * self.lowest else 0

    @property
    def diverged(self) -> bool:
        """Whether it will not come back."""
        return self.far > PATIENCE

    @property
    def doubtful(self) -> bool:
        """Whether the weights may be spoilt, and should not replace those of the last checkpoint."""
        return self.far > 0 or 0 < self.raised <= HELD

    def as_dict(self) -> dict[str, float]:
        """For the checkpoint."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"its mean over {HORIZON} steps is {self.mean:.4g}, "
            f"{self.mean / self.lowest:.1f} times the lowest, {self.lowest:.4g}"
        )
