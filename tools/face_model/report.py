"""Figures of the packaged head shapes and landmarks, for docs/face_model.md.

    python tools/face_model/report.py --shared ../shared/data

Uses the results that `tools/build_face_model.py` keeps in its work folder.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from build_face_model import Workshop  # noqa: E402
from face_model import ict as ict_head  # noqa: E402
from face_model.identity import Identity, face_region, ict_generators, without_pose  # noqa: E402
from mien.adoption.views import View, picture  # noqa: E402
from mien.detect import Detector  # noqa: E402
from mien.facecode import ARKIT_NAMES  # noqa: E402
from mien.landmarks import LandmarkPoints, place_landmarks  # noqa: E402
from mien.model_files.packaged import read_model_file  # noqa: E402
from mien.morphable import MorphableModel  # noqa: E402
from mien.surface import closest_points, similarity  # noqa: E402

HEADS, SEED, SPLIT_SEED = 40, 7001, 7002
"""Test heads, and seeds that the build does not use."""


@dataclass(frozen=True)
class Options:
    """Where things are.

    Attributes:
        shared: folder with `ict-facekit.tar.xz`.
        model: the packaged model.
        work: the build's work folder.
    """

    shared: Path = ROOT.parent / "shared" / "data"
    model: Path = ROOT / "src" / "mien" / "assets" / "anny.safetensors"
    work: Path = ROOT / "build" / "face_model"


def spread(workshop: Workshop, identity: Identity) -> None:
    """Prints explained variance and standard deviation by region, next to ICT's."""
    shares = {k: identity.explained[k - 1] for k in (20, 40, 60, 80, 100)}
    print("explained variance:", ", ".join(f"{k}: {100 * v:.1f} %" for k, v in shares.items()))
    head, registration = workshop.head(), workshop.registration()
    generators = ict_generators(head, workshop.ict(), registration)
    ours = identity.components
    theirs = without_pose(generators, registration.vertices, face_region(head))
    y, z = registration.vertices[:, 1], registration.vertices[:, 2]
    face = face_region(head)
    areas = {
        "face": face,
        "brows and forehead": face & (y > 12),
        "eyelids": (head.part == 0) & (head.mask("eyelids") > 0.5),
        "nose": face & (np.abs(registration.vertices[:, 0]) < 18) & (y < -5) & (y > -48) & (z > 15),
        "lips": (head.mask("lips") > 0.5) & (head.mask("inside-mouth") < 0.5),
        "jaw and chin": face & (y < -75),
        "ears": (head.part == 0) & (head.mask("ears") > 0.5),
        "cranium": (head.part == 0) & ~face & (y > 20),
        "neck": (head.part == 0) & ~face & (y < -90),
    }
    print("standard deviation, mm (root of mean square over vertices):")
    for name, area in areas.items():
        ours_mm, theirs_mm = (np.sqrt((g[:, area] ** 2).sum(axis=(0, 2)).mean()) for g in (ours, theirs))
        print(f"  {name:20s} ours {ours_mm:5.2f}   ICT {theirs_mm:5.2f}")


def reproduction(workshop: Workshop) -> None:
    """Prints how closely the components reproduce ICT heads whose statistics were not used, and new draws."""
    rng = np.random.default_rng(SPLIT_SEED)
    order = rng.permutation(100)
    known, unknown = np.sort(order[:50]), np.sort(order[50:])
    half = workshop.identity_from(known)
    print("reproduction of ICT heads by a similarity and 100 components, median over face vertices, mm:")
    for name, identity, modes in (
        ("calibrated with 50 random modes, heads of the other 50", half, unknown),
        ("calibrated with 50 random modes, heads of all", half, np.arange(100)),
        ("calibrated with all modes, new heads", workshop.identity(), np.arange(100)),
    ):
        print(f"  {name}: {_reproduce(workshop, identity, modes, without=False)}")
        print(f"    the mean head alone: {_reproduce(workshop, identity, modes, without=True)}")


def _reproduce(workshop: Workshop, identity: Identity, modes: np.ndarray, without: bool) -> str:
    head, ict, registration = workshop.head(), workshop.ict(), workshop.registration()
    region = np.flatnonzero(face_region(head) & (registration.confidence > 0.5))
    surface = ict_head.triangles_below(ict, ict_head.SKIN)
    system = identity.components[:, region].reshape(len(identity.components), -1).T
    normal = system.T @ system + np.eye(system.shape[1])
    rng = np.random.default_rng(SEED)
    point, distance = [], []
    for _ in range(HEADS):
        offset = np.tensordot(rng.normal(size=len(modes)), ict.identity[modes].astype(np.float64), 1)
        truth = ict.mean - registration.centre + offset
        goal = registration.on_ict(truth)[region]
        fitted = identity.mean[region]
        for _ in range(5):
            scale, rotation, shift = similarity(goal, fitted)
            aligned = scale * goal @ rotation.T + shift
            if without:
                break
            coefficients = np.linalg.solve(normal, system.T @ (aligned - identity.mean[region]).ravel())
            fitted = identity.mean[region] + (system @ coefficients).reshape(-1, 3)
        point.append(np.linalg.norm(fitted - aligned, axis=1) / scale)
        whole = scale * truth @ rotation.T + shift
        distance.append(closest_points(fitted, whole, surface).distance / scale)
    return f"point to point {np.median(point):.2f}, point to surface {np.median(distance):.2f}"


def landmark_error(model: MorphableModel) -> None:
    """Prints predicted against detected landmarks on pictures of the mean head, by pose and by expression."""
    points = LandmarkPoints.of(model.landmarks478, model.identity_mean)
    poses = [("yaw 0", 0, {}), ("yaw 30", 30, {}), ("yaw 60", 60, {})]
    faces = {
        "smile": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9},
        "jaw open": {"jawOpen": 0.8},
        "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
        "brows up": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
        "brows down": {"browDownLeft": 1.0, "browDownRight": 1.0},
        "pucker": {"mouthPucker": 1.0},
        "mouth left": {"mouthLeft": 1.0},
        "sneer": {"noseSneerLeft": 1.0, "noseSneerRight": 1.0},
        "look to the left": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    }
    oval = model.landmarks478.contour
    groups = {
        "all": np.arange(478), "oval": oval, "lips": _LIPS, "lids": _LIDS,
        "brows": _BROWS, "irises": np.arange(468, 478),
    }  # fmt: skip
    print("landmarks, predicted against detected, % of the outer eye corners' distance:")
    print(
        "  "
        + " " * 18
        + "".join(f"{g:>8s}" for g in groups)
        + "  oval fixed   highest of the detector's scores"
    )
    albedo = model.albedo(np.zeros(model.layout.albedo, np.float32))
    with Detector() as detector:
        for name, yaw, coefficients in poses + [(n, 0, c) for n, c in faces.items()]:
            expression = np.zeros(52, np.float32)
            for key, value in coefficients.items():
                expression[ARKIT_NAMES.index(key)] = value
            vertices = model.vertices(np.zeros(1, np.float32), expression).astype(np.float64)
            view = View(yaw)
            image = picture(model.refinement(vertices), model.refinement.triangles, albedo, view)
            found = detector.detect(image / 255.0, max_faces=1)
            if not found:
                print(f"  {name:18s} no face found")
                continue
            translation = view.points_camera(np.zeros((1, 3)))[0]
            predicted = place_landmarks(
                points,
                vertices,
                view.rotation,
                translation,
                float(view.camera.focal_px),
                view.camera.principal_px,
            )[:, :2]
            seen = found[0].landmarks_px[:, :2]
            eyes = View().points_px(model.landmarks478(vertices)[[33, 263]])[:, :2]
            unit = np.linalg.norm(eyes[0] - eyes[1])
            error = 100 * np.linalg.norm(predicted[:, :2] - seen, axis=1) / unit
            fixed = view.points_px(model.landmarks478(vertices))[:, :2]
            unmoved = 100 * np.linalg.norm((fixed - seen)[oval], axis=1).mean() / unit
            scores = found[0].blendshapes
            top = ", ".join(f"{ARKIT_NAMES[k]} {scores[k]:.2f}" for k in np.argsort(-scores)[:3])
            print(
                f"  {name:18s}"
                + "".join(f"{error[i].mean():8.2f}" for i in groups.values())
                + f"{unmoved:12.2f}   "
                + top
            )


_LIPS = np.array([
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
])  # fmt: skip
_LIDS = np.array([
    33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7,
    263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249,
])  # fmt: skip
_BROWS = np.array(
    [70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276]
)


def main(options: Options) -> None:
    """Prints everything."""
    workshop = Workshop(options.shared, options.work)
    model = read_model_file(options.model)
    registration = workshop.registration()
    matched = registration.confidence > 0.5
    median = np.median(registration.distance[matched])
    print(f"model {model.id}: {len(model.part)} base vertices, {len(model.triangles)} triangles;", end=" ")
    print(f"detail {len(model.refinement.part)} and {len(model.refinement.triangles)}; layout {model.layout}")
    print(f"registration: {matched.sum()} vertices on ICT's surface, median distance {median:.2f} mm")
    spread(workshop, workshop.identity())
    reproduction(workshop)
    landmark_error(model)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
