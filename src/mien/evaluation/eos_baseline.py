"""eos with the Surrey Face Model, the peer that the geometry is compared with, where eos-py is installed.

P. Huber et al., "A Multiresolution 3D Morphable Face Model and Fitting Framework", VISAPP 2016.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mien.errors import MissingLibrary, UnreadableInput
from mien.evaluation.scans import Contender, Guess
from mien.landmarks import MEDIAPIPE68

FILES = (
    "sfm_shape_3448.bin", "expression_blendshapes_3448.bin", "ibug_to_sfm.txt", "sfm_3448_edge_topology.json",
    "sfm_model_contours.json",
)  # fmt: skip
"""Of eos's folder `share`."""

LANDMARKS = np.array([177, 181, 614, 610, 270, 398, 812])
"""The Surrey model's vertices at NoW's seven landmarks, by eos's ibug_to_sfm.txt."""


def eos_contender(folder: Path) -> Contender:
    """eos's fit of shape, pose and expression to the detector's 68 landmarks, as its own demo calls it.

    Args:
        folder: with `FILES`.

    Raises:
        MissingLibrary: eos-py is not installed.
        UnreadableInput: a file is missing or eos cannot read it.
    """
    if not find_spec("eos"):
        raise MissingLibrary("eos-py: not installed, so the baseline eos is left out; pip install eos-py")
    import eos

    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise UnreadableInput(f"{folder}: has no {', '.join(missing)}; name the folder share of eos")
    shape, expressions, mapping, topology, contours = (str(folder / name) for name in FILES)
    try:
        bare = eos.morphablemodel.load_model(shape)
        model = eos.morphablemodel.MorphableModel(
            bare.get_shape_model(),
            eos.morphablemodel.load_blendshapes(expressions),
            color_model=eos.morphablemodel.PcaModel(),
        )
        fixed = (
            eos.core.LandmarkMapper(mapping),
            eos.morphablemodel.load_edge_topology(topology),
            eos.fitting.ContourLandmarks.load(mapping),
            eos.fitting.ModelContour.load(contours),
        )
    except RuntimeError as error:
        raise UnreadableInput(
            f"{folder}: eos cannot read its files ({error}); get them of its release 1.5"
        ) from error
    mapper, *edges = fixed
    shapes = model.get_shape_model()
    triangles = np.array(shapes.get_triangle_list())

    def read(image: np.ndarray, landmarks_px: np.ndarray) -> tuple[Guess, Guess]:
        points = [
            eos.core.Landmark(str(number + 1), [float(x), float(y)])
            for number, (x, y) in enumerate(landmarks_px[MEDIAPIPE68, :2])
        ]
        size = image.shape[1], image.shape[0]
        mesh, _, coefficients, _ = eos.fitting.fit_shape_and_pose(model, points, mapper, *size, *edges)
        posed = np.array(mesh.vertices, np.float64)[:, :3]
        at_rest = np.array(shapes.draw_sample(coefficients), np.float64).reshape(-1, 3)
        return tuple(Guess(head, triangles, head[LANDMARKS]) for head in (posed, at_rest))

    return read
