"""`mien evaluate training`: how the losses of training runs went."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from mien.cli.evaluate.measured import prepare, short_names, show_report
from mien.cli.status import Status
from mien.cli.train import need_training


@dataclass(frozen=True)
class EvaluateTraining:
    """Show how the loss of `mien train` fell.

    Examples:
      mien evaluate training run                         table of one run, finished or not
      mien evaluate training small resnet50 -o results   also training.png, .md and .json, of two

    From TensorBoard's events in the folders: training and validation loss over the pictures seen and, of runs
    with --photos, landmark error (478 points) and photometric RMSE of the network alone. What was done twice,
    as after an interruption, counts the second time.

    Needs the extra: pip install 'mien[train]'. Exit status: 0 done; 2 wrong usage; 4 a folder has no events.
    """

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN...", help_behavior_hint="(at least one)")]]
    """Folders of runs."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None
    """Folder for the figure, the table and the numbers; made if it is not there."""

    def run(self) -> int:
        """Reports."""
        if not self.runs:
            print("mien evaluate training: give folders of runs", file=sys.stderr)
            return Status.USAGE
        need_training()
        from mien.evaluation.training_log import TrainingLog, training_report

        prepare(self.out)
        logs = dict(zip(short_names(self.runs), map(TrainingLog.read, self.runs), strict=True))
        show_report(training_report(logs), self.out, "training")
        return Status.DONE
