"""Scans and photographs in the layout in which the NoW benchmark is published.

S. Sanyal, T. Bolkart, H. Feng, M. Black, "Learning to Regress 3D Face Shape and Expression from an Image
without 3D Supervision", CVPR 2019. Below a folder: `iphone_pictures/SUBJECT/CHALLENGE/*.jpg`, itself or in
`final_release_version` or `NoW_Dataset/final_release_version`; `scans/SUBJECT/*.obj` in millimetres, at rest;
`scans_lmks_onlypp/SUBJECT/*.pp`, seven points picked in MeshLab; and perhaps `imagepathsvalidation.txt`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from mien.errors import NoFace, UnreadableInput
from mien.evaluation.geometry import face_region
from mien.evaluation.scans import Comparison, Contender, Scan, Score, compare, guess_of
from mien.morphable import MorphableModel
from mien.reconstruction import reconstruct

PICTURES = "iphone_pictures"
SCANS, LANDMARKS = "scans", "scans_lmks_onlypp"
LIST = "imagepathsvalidation.txt"

_LAYOUT = f"{PICTURES}/SUBJECT/CHALLENGE/*.jpg, {SCANS}/SUBJECT/*.obj, {LANDMARKS}/SUBJECT/*.pp"
_EYES_MM = (60.0, 130.0)
"""Least and greatest distance of the outer eye corners of a scan in millimetres."""


@dataclass(frozen=True)
class NowPicture:
    """One photograph of the benchmark.

    Attributes:
        file: the photograph.
        subject, challenge: the folders it is in.
    """

    file: Path
    subject: str
    challenge: str


def now_pictures(folder: Path) -> list[NowPicture]:
    """The photographs: those of the list of validation where there is one, else of all subjects with a scan.

    Raises:
        UnreadableInput: the folder is not of this layout.
    """
    home = next(
        (p for step in ("", "*/", "*/*/") for p in sorted(folder.glob(step + PICTURES)) if p.is_dir()), None
    )
    if home is None or not (folder / SCANS).is_dir() or not (folder / LANDMARKS).is_dir():
        missing = [name for name in (SCANS, LANDMARKS) if not (folder / name).is_dir()]
        missing = ([] if home else [PICTURES]) + missing
        raise UnreadableInput(f"{folder}: has no {' and no '.join(missing)}; NoW's layout is {_LAYOUT}")
    listed = folder / LIST
    if listed.is_file():
        lines = listed.read_bytes().decode(errors="replace").splitlines()
        names = [Path(line.strip()) for line in lines if line.strip()]
        wrong = next((name for name in names if len(name.parts) < 3), None)
        if wrong is not None:
            raise UnreadableInput(f"{listed}: {wrong} is not SUBJECT/CHALLENGE/PICTURE; get the list anew")
        files = [home.joinpath(*name.parts[-3:]) for name in names]
    else:
        subjects = {path.name for path in (folder / SCANS).iterdir() if path.is_dir()}
        files = [
            file
            for file in sorted(home.glob("*/*/*"))
            if file.suffix.lower() in (".jpg", ".jpeg", ".png") and file.parts[-3] in subjects
        ]
    if not files:
        raise UnreadableInput(
            f"{folder}: no photographs of subjects that have a scan; NoW's layout is {_LAYOUT}"
        )
    return [NowPicture(file, *file.parts[-3:-1]) for file in files]


def now_scan(folder: Path, subject: str) -> Scan:
    """The scan of a subject: its vertices within `mien.evaluation.geometry.face_region`.

    Raises:
        UnreadableInput: scan or landmarks are missing, damaged, or not in millimetres.
    """
    scan, picked = _only(folder / SCANS / subject, "*.obj"), _only(folder / LANDMARKS / subject, "*.pp")
    landmarks = read_picked_points(picked)
    apart = np.linalg.norm(landmarks[0] - landmarks[3])
    if not _EYES_MM[0] < apart < _EYES_MM[1]:
        raise UnreadableInput(
            f"{picked}: the outer eye corners, its first and fourth point, are {apart:.4g} apart, expected "
            f"{_EYES_MM[0]:.0f} to {_EYES_MM[1]:.0f} mm; are the points in another order or unit?"
        )
    points = _obj_vertices(scan)
    centre, radius = face_region(landmarks)
    points = points[np.linalg.norm(points - centre, axis=1) <= radius]
    if len(points) < 100:
        raise UnreadableInput(
            f"{scan}: has {len(points)} vertices near the points of {picked.name}; both must be in one frame"
        )
    return Scan(points, landmarks)


def read_picked_points(file: Path) -> np.ndarray:
    """(7, 3) points of a `.pp` file of MeshLab, in its order, which is that of `geometry.LANDMARKS`.

    Raises:
        UnreadableInput: it is no such file, or has other than seven active points.
    """
    try:
        root = ElementTree.parse(file).getroot()
        points = [
            [float(point.attrib[axis]) for axis in "xyz"]
            for point in root.iter("point")
            if point.get("active", "1") != "0"
        ]
    except OSError as error:
        raise UnreadableInput(f"{file}: cannot be read ({error.strerror}); check the disk") from error
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise UnreadableInput(
            f"{file}: not a file of MeshLab's picked points ({error}); get it anew"
        ) from error
    if len(points) != 7 or not np.isfinite(points).all():
        raise UnreadableInput(
            f"{file}: has {len(points)} points, expected NoW's seven: the corners of the eyes from the "
            "subject's right to left, the bottom of the nose, the right and left corner of the mouth"
        )
    return np.array(points)


def measure_picture(
    picture: NowPicture, scan: Scan, model: MorphableModel, refine: bool, others: Mapping[str, Contender]
) -> dict[str, Comparison]:
    """How near the head at rest is that mien, and others, see in a photograph: {"mien" or other's name: ...}.

    Args:
        picture: of the subject of the scan; its largest face is taken.
        model, refine: as in `mien.reconstruction.reconstruct`.
        others: what else reads the face, from the same landmarks.

    Raises:
        NoFace: none is found.
        UnreadableInput: the picture cannot be read.
    """
    faces = reconstruct(str(picture.file), model=model, refine=refine, max_faces=1)
    if not faces:
        raise NoFace(f"{picture.file}: no face found; it is left out for all that are measured")
    face = faces[0]
    guesses = {"mien": guess_of(model, face.code.identity, np.zeros(model.layout.expression))}
    for name, read in others.items():
        guesses[name] = read(face.image, face.landmarks_px)[1]
    return {name: compare(guess, scan) for name, guess in guesses.items()}


def now_scores(measured: Sequence[tuple[NowPicture, Mapping[str, Comparison]]]) -> dict[str, Score]:
    """By who was measured, over all photographs; where there are several challenges, by "who, challenge" too.

    Args:
        measured: one or more photographs, with the same names each.
    """
    names = list(measured[0][1])
    scores = {name: Score.of([compared[name] for _, compared in measured]) for name in names}
    challenges = sorted({picture.challenge for picture, _ in measured})
    for challenge in challenges if len(challenges) > 1 else ():
        some = [compared for picture, compared in measured if picture.challenge == challenge]
        scores |= {f"{name}, {challenge}": Score.of([c[name] for c in some]) for name in names}
    return scores


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise UnreadableInput(
            f"{folder}: has no {pattern}; every subject needs a scan and its seven landmarks"
        )
    return found[0]


def _obj_vertices(file: Path) -> np.ndarray:
    """(N, 3) vertices of an OBJ file; colours after them are left out."""
    try:
        lines = [line.split()[1:4] for line in file.read_bytes().splitlines() if line.startswith(b"v ")]
        vertices = np.array(lines, np.float64).reshape(-1, 3)
    except OSError as error:
        raise UnreadableInput(f"{file}: cannot be read ({error.strerror}); check the disk") from error
    except ValueError as error:
        raise UnreadableInput(f"{file}: has vertices of other than three numbers; get it anew") from error
    if not len(vertices) or not np.isfinite(vertices).all():
        raise UnreadableInput(f"{file}: has no vertices, or some that are not finite; get it anew")
    return vertices
