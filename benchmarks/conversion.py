"""How far apart a face of the default model and the same face in ICT-FaceKit's are, and after coming back.

    python benchmarks/conversion.py ../shared/data/ict-facekit.tar.xz

Random people of the default model (anny), each with a random expression, are converted to ICT and back.
Distances are between corresponding points, sliding along the surface included, over all skin that both models
have and over that within 12 mm of a landmark ("face"). Nothing is added to the data folder.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree

from mien.adoption.adopt import adopt
from mien.conversion import convert
from mien.detect import Detector
from mien.facecode import FaceCode
from mien.lighting import studio_light
from mien.model_files.formats import FORMATS
from mien.morphable import MorphableModel, load_model
from mien.synthesis.expressions import random_expressions

ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "ict-facekit.tar.xz"
PEOPLE, FACE_MM = 100, 12.0


def random_codes(model: MorphableModel, count: int) -> list[FaceCode]:
    """People of the default model, each doing something."""
    rng = np.random.default_rng(0)
    layout, expressions = model.layout, random_expressions(rng, count)
    return [
        FaceCode(
            identity=rng.normal(size=layout.identity),
            expression=np.asarray(expression, np.float64),
            albedo=rng.normal(size=layout.albedo),
            rotation=0.2 * rng.normal(size=3),
            translation=np.array([0.0, 0.0, 700.0]),
            illumination=studio_light().astype(np.float64),
            focal_px=np.float64(900.0),
            model=model.id,
        )
        for expression in expressions
    ]


def main() -> None:
    """Prints the table."""
    archive = Path(sys.argv[1]) if len(sys.argv) > 1 else ARCHIVE
    if not archive.exists():
        sys.exit(f"{archive}: not here; give ICT-FaceKit's archive or its folder FaceXModel")
    default = load_model()
    with Detector() as detector:
        ict = adopt(FORMATS["ict"].read(archive), "ict", default, detector).model
    skin = np.asarray(ict.correspondence.weight) > 0.05
    rest = default.identity_mean[skin]
    face = cKDTree(default.landmarks478(default.identity_mean)).query(rest)[0] < FACE_MM
    there, back, round_trip, size, milliseconds = [], [], [], [], []
    for code in random_codes(default, PEOPLE):
        start = time.perf_counter()
        first = convert(code, default, ict)
        milliseconds.append(1e3 * (time.perf_counter() - start))
        second = convert(first.code, ict, default)
        own, again = (default.vertices(c.identity, c.expression)[skin] for c in (code, second.code))
        there.append(first.distance_mm)
        back.append(second.distance_mm)
        round_trip.append(np.linalg.norm(own - again, axis=1))
        size.append(np.sqrt((first.code.identity**2).mean()))
    table = Table("distance, mm", "median", "95 %", "face: median", "95 %", title=f"{PEOPLE} people")
    for name, values in (("anny to ICT", there), ("ICT to anny", back), ("there and back", round_trip)):
        values = np.array(values)
        shown = [np.quantile(part, share) for part in (values, values[:, face]) for share in (0.5, 0.95)]
        table.add_row(name, *(f"{value:.2f}" for value in shown))
    console = Console(width=100)
    console.print(table)
    console.print(f"ICT's identity coefficients: root of mean square {np.mean(size):.2f}")
    console.print(f"one conversion: {np.median(milliseconds):.1f} ms, the median")


if __name__ == "__main__":
    main()
