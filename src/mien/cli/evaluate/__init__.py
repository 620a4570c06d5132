"""`mien evaluate`: figures of accuracy, measured on one's own data."""

import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar, Union

from tyro.conf import subcommand

from mien.cli.evaluate.bootstrap import EvaluateBootstrap
from mien.cli.evaluate.consistency import EvaluateConsistency
from mien.cli.evaluate.encoders import EvaluateEncoders
from mien.cli.evaluate.expression import EvaluateExpression, EvaluateRest
from mien.cli.evaluate.geometry import EvaluateGeometry
from mien.cli.evaluate.landmarks import EvaluateLandmarks
from mien.cli.evaluate.report import EvaluateReport
from mien.cli.evaluate.training import EvaluateTraining
from mien.cli.status import Status


@dataclass(frozen=True)
class Evaluate:
    """Measure accuracy on one's own data.

    Examples:
      mien evaluate geometry NoW/ -o results            3D scans, by NoW's protocol
      mien evaluate landmarks 300W/ -o results          annotated photographs
      mien evaluate consistency people/ -o results      are one person's faces alike?
      mien evaluate expression labelled/ -o results     confusion matrix of seven expressions
      mien evaluate rest labelled/neutral -o results    what is read of neutral faces
      mien evaluate encoders run encoder.onnx -o results
      mien evaluate bootstrap run-real -o results
      mien evaluate training run -o results             how the loss fell
      mien evaluate report results                      all of these on one page
    """

    CHOICES: ClassVar[dict[str, type]] = {
        "geometry": EvaluateGeometry,
        "landmarks": EvaluateLandmarks,
        "consistency": EvaluateConsistency,
        "expression": EvaluateExpression,
        "rest": EvaluateRest,
        "encoders": EvaluateEncoders,
        "bootstrap": EvaluateBootstrap,
        "training": EvaluateTraining,
        "report": EvaluateReport,
    }

    what: Union[*(Annotated[command, subcommand(name)] for name, command in CHOICES.items())]

    def run(self) -> int:
        """Runs the measurement."""
        limit = getattr(self.what, "limit", None)
        if limit is not None and limit < 1:
            print(f"mien evaluate: --limit is {limit}, must be 1 or more", file=sys.stderr)
            return Status.USAGE
        return self.what.run()
