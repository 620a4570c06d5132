"""Photographs with 68 annotated landmarks, in the layouts in which data sets of them are published.

`.pts` beside each picture (300W: Sagonas et al., "300 Faces in-the-wild challenge", 2016); `.mat` beside
each picture (AFLW2000-3D: Zhu et al., "Face alignment across large poses", CVPR 2016); one XML file of
dlib's imglab for many pictures. The first two count pixels from 1 and the last from 0, each at a pixel's
centre; here they are in mien's coordinates, where the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np

from mien.errors import UnreadableInput

Layout = Literal["pts", "mat", "xml"]

TITLES: dict[Layout, str] = {"pts": "300W's .pts", "mat": "AFLW2000-3D's .mat", "xml": "dlib's XML"}

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True, eq=False)
class AnnotatedFace:
    """A face whose landmarks are known.

    Attributes:
        picture: the photograph, in which there may be other faces too.
        points_px: (68, 2) float64 in iBUG's order, pixels.
        yaw_degrees: by which the head turns, to either side; None where the data set does not say.
        hidden_too: whether points of the jaw that the head hides are annotated where they are, and not at the
            visible outline.
    """

    picture: Path
    points_px: np.ndarray
    yaw_degrees: float | None = None
    hidden_too: bool = False


def annotations_in(place: Path) -> tuple[Layout, list[Path | AnnotatedFace]]:
    """What is annotated in a folder, or below it, or by an XML file.

    Returns:
        the layout, and for `.pts` and `.mat` the files, to be read by `read_annotation`; for XML the faces.

    Raises:
        UnreadableInput: nothing is annotated there in a known layout, or the XML file is damaged.
    """
    if place.is_file() and place.suffix.lower() == ".xml":
        return "xml", list(_read_xml(place))
    if not place.is_dir():
        raise UnreadableInput(
            f"{place}: is no folder; name one with photographs and their .pts, .mat or .xml"
        )
    for layout in ("pts", "mat"):
        if files := sorted(place.rglob(f"*.{layout}")):
            return layout, files
    tables = [file for file in sorted(place.glob("*.xml")) if b"<dataset" in file.read_bytes()[:2000]]
    if len(tables) > 1:
        listing = ", ".join(file.name for file in tables)
        raise UnreadableInput(f"{place}: has several XML files ({listing}); name one of them")
    if tables:
        return "xml", list(_read_xml(tables[0]))
    raise UnreadableInput(
        f"{place}: no .pts or .mat beside pictures and no XML of dlib's; annotate in one of these layouts"
    )


def read_annotation(file: Path) -> AnnotatedFace:
    """The face of a `.pts` or `.mat` file and the picture of the same name beside it.

    Raises:
        UnreadableInput: the file is damaged or has other points than iBUG's 68, or there is no such picture.
    """
    face = _read_pts(file) if file.suffix.lower() == ".pts" else _read_mat(file)
    if not face.picture.is_file():
        raise UnreadableInput(f"{file}: no picture {file.stem} with {', '.join(_PICTURES)} beside it")
    return face


def _picture_of(file: Path) -> Path:
    endings = [*_PICTURES, *(ending.upper() for ending in _PICTURES)]
    found = (file.with_suffix(ending) for ending in endings)
    return next((path for path in found if path.is_file()), file.with_suffix(_PICTURES[0]))


def _checked(file: Path, points: np.ndarray, what: str = "it") -> np.ndarray:
    if points.shape != (68, 2):
        raise UnreadableInput(f"{file}: {what} has {len(points)} points, expected iBUG's 68; leave it out")
    if (
        not np.isfinite(points).all()
        or np.ptp(points, axis=0).min() < 1.0
        or (points[36] == points[45]).all()
    ):
        raise UnreadableInput(
            f"{file}: {what} has points that are not finite, or all in one place; get it anew"
        )
    return points


def _read_pts(file: Path) -> AnnotatedFace:
    try:
        text = file.read_text()
        body = text[text.index("{") + 1 : text.index("}")]
        points = np.array([line.split() for line in body.strip().splitlines()], np.float64)
        points = points.reshape(len(points), 2)
    except OSError as error:
        raise UnreadableInput(f"{file}: cannot be read ({error.strerror}); check the disk") from error
    except ValueError as error:
        raise UnreadableInput(
            f"{file}: not a .pts file, which has two numbers a line in braces; get it anew"
        ) from error
    return AnnotatedFace(_picture_of(file), _checked(file, points) - 0.5)


def _read_mat(file: Path) -> AnnotatedFace:
    from scipy.io import loadmat

    try:
        arrays = loadmat(file)
    except OSError as error:
        raise UnreadableInput(f"{file}: cannot be read ({error}); check the disk") from error
    except Exception as error:  # SciPy raises anything on damaged files
        raise UnreadableInput(f"{file}: no .mat file that SciPy reads ({error}); get it anew") from error
    if "pt3d_68" not in arrays:
        raise UnreadableInput(f"{file}: has no pt3d_68; expected AFLW2000-3D's arrays pt3d_68 and Pose_Para")
    points, pose = np.asarray(arrays["pt3d_68"]), np.asarray(arrays.get("Pose_Para", [[]]))
    if points.dtype.kind not in "fiu" or points.ndim != 2 or points.shape[0] < 2:
        raise UnreadableInput(f"{file}: pt3d_68 has shape {points.shape}, expected (3, 68)")
    # Pose_Para is pitch, yaw, roll in radians, then translation and scale
    yaw = float(np.degrees(abs(pose.reshape(-1)[1]))) if pose.dtype.kind == "f" and pose.size > 2 else None
    points = _checked(file, points[:2].T.astype(np.float64)) - 0.5
    return AnnotatedFace(_picture_of(file), points, yaw, hidden_too=True)


def _read_xml(file: Path) -> list[AnnotatedFace]:
    try:
        root = ElementTree.parse(file).getroot()
        faces = []
        for image in root.iter("image"):
            for box in image.iter("box"):
                parts = {int(part.attrib["name"]): part.attrib for part in box.iter("part")}
                numbers = [[float(parts[key]["x"]), float(parts[key]["y"])] for key in sorted(parts)]
                points = _checked(file, np.array(numbers).reshape(-1, 2), image.attrib["file"]) + 0.5
                faces.append(AnnotatedFace(file.parent / image.attrib["file"], points))
    except OSError as error:
        raise UnreadableInput(f"{file}: cannot be read ({error.strerror}); check the disk") from error
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise UnreadableInput(f"{file}: not a data set of dlib's imglab ({error}); get it anew") from error
    if not faces:
        raise UnreadableInput(
            f"{file}: no face is annotated in it; expected <image>, <box>, <part> of dlib's"
        )
    return faces
