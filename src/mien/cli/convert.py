"""`mien convert`: faces re-expressed in another face model."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mien.cli.status import Status
from mien.errors import MienError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Convert:
    """Re-express a face in another face model.

    Examples:
      mien convert mien-out/photo.face.json --model ict
      mien convert photo.face.json --model bfm2017 -o photo.bfm.face.json
      mien reconstruct photo.bfm.face.json --model bfm2017    3D files of it

    Identity, expression, colour and pose become those of the face of the other model that lies nearest, point
    by point; light and camera stay. What is left between the two faces is printed, in millimetres.

    Exit status: 0 done; 2 wrong usage; 4 the face cannot be read, or the result not be written.
    """

    face: Positional[Annotated[Path, arg(metavar="FACE.json")]]
    """The face: a .face.json."""
    model: Annotated[str, arg(metavar="NAME")]
    """The model to express it in; `mien models list` names them."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="FILE")] = None
    """The new .face.json; beside the old one, with the model in its name, if not given."""

    def run(self) -> int:
        """Converts, writes, and prints the residual."""
        from mien.cli.inputs import FACE_SUFFIX, stem_of
        from mien.cli.models import model_names
        from mien.conversion import convert
        from mien.facefile import load_face, model_id, save_face
        from mien.model_files.store import unknown_model
        from mien.morphable import load_model

        if self.model not in model_names():
            print(f"mien convert: {unknown_model(self.model)}", file=sys.stderr)
            return Status.USAGE
        out = self.out or self.face.with_name(f"{stem_of(self.face)}.{self.model}{FACE_SUFFIX}")
        try:
            source = load_model(model_id(self.face).split("/")[0])
            face, target = load_face(self.face, source), load_model(self.model)
            converted = convert(face.code, source, target)
            save_face(replace(face, code=converted.code), out)
        except MienError as error:
            print(error, file=sys.stderr)
            return Status.UNREADABLE
        print(out)
        print(_residual(converted.distance_mm), file=sys.stderr)
        return Status.DONE


def _residual(distance_mm: np.ndarray) -> str:
    import numpy as np

    if not distance_mm.size:
        return "it is of that model already"
    return (
        f"distance between the two faces: median {np.median(distance_mm):.2f} mm, "
        f"mean {distance_mm.mean():.2f} mm, 95 % within {np.percentile(distance_mm, 95):.2f} mm"
    )
