"""Small data sets in the layouts in which they are published, drawn from heads of known shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.camera import rotation_matrix
from mien.evaluation.geometry import LANDMARKS
from mien.evaluation.scans import outer_triangles
from mien.facecode import FaceCode
from mien.image import save_png
from mien.landmarks import LandmarkPoints, place_landmarks
from mien.lighting import studio_light
from mien.morphable import MorphableModel
from mien.render import render


def random_code(model: MorphableModel, seed: int, size: int, yaw: float = 0.2) -> FaceCode:
    """A head that fills two thirds of a picture of `size` px, turned by some radians, at rest."""
    rng = np.random.default_rng(seed)
    layout = model.layout
    return FaceCode(
        identity=rng.normal(size=layout.identity),
        expression=np.zeros(layout.expression),
        albedo=0.5 * rng.normal(size=layout.albedo),
        rotation=np.array([0.05, yaw, 0.0]),
        translation=np.array([3.0, 20.0, 800.0]),
        illumination=studio_light(),
        focal_px=np.float64(2.6 * size),
        model=model.id,
    )


def draw(model: MorphableModel, code: FaceCode, size: int, file: Path) -> None:
    """The picture of a code, on grey, as a PNG file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_png(file, render(model, code, (size, size), supersample=2, background=[0.6, 0.6, 0.62]).image)


def points68(model: MorphableModel, code: FaceCode, size: int, sliding: bool = True) -> np.ndarray:
    """(68, 2) iBUG's points of a code in its picture, pixels."""
    points = LandmarkPoints.of(model.landmarks68, model.identity_mean, sliding)
    vertices = model.vertices(code.identity, code.expression)
    centre = np.full(2, size / 2)
    return place_landmarks(points, vertices, code.rotation, code.translation, float(code.focal_px), centre)[
        :, :2
    ]


def write_now(
    home: Path, model: MorphableModel, codes: dict[str, FaceCode], size: int, scale: float = 1.0
) -> None:
    """NoW's layout: one picture in each of two challenges, a scan in a frame of its own, its seven points."""
    pictures = home / "NoW_Dataset" / "final_release_version" / "iphone_pictures"
    listed = []
    for subject, code in codes.items():
        for challenge in ("multiview_neutral", "selfie"):
            draw(model, code, size, pictures / subject / challenge / "IMG_1.png")
            listed.append(f"{subject}/{challenge}/IMG_1.png\n")
        turn = rotation_matrix(np.array([0.3, -0.5, 0.2]))
        vertices = model.vertices(code.identity, np.zeros(model.layout.expression)).astype(np.float64)
        landmarks = model.landmarks68(vertices)[LANDMARKS]
        seen, corners = np.unique(outer_triangles(model), return_inverse=True)
        vertices = vertices[seen]
        moved = [scale * points @ turn.T + [10, -40, 900] for points in (vertices, landmarks)]
        scan = home / "scans" / subject / "natural_head_rotation.000001.obj"
        scan.parent.mkdir(parents=True)
        rows = [f"v {x} {y} {z} 0.5 0.5 0.5\n" for x, y, z in moved[0]]
        rows += [f"f {a} {b} {c}\n" for a, b, c in corners.reshape(-1, 3) + 1]
        scan.write_text("# a scan\n" + "".join(rows))
        picked = home / "scans_lmks_onlypp" / subject / "natural_head_rotation.000001_picked_points.pp"
        picked.parent.mkdir(parents=True)
        points = "".join(
            f' <point x="{x}" y="{y}" z="{z}" name="{k}" active="1"/>\n'
            for k, (x, y, z) in enumerate(moved[1])
        )
        picked.write_text(
            "<!DOCTYPE PickedPoints>\n<PickedPoints>\n <DocumentData>\n"
            '  <DataFileName name="natural_head_rotation.000001.obj"/>\n  <templateName name=""/>\n'
            f" </DocumentData>\n{points}</PickedPoints>\n"
        )
    (home / "imagepathsvalidation.txt").write_text("".join(listed))


def pts_text(points_px: np.ndarray) -> str:
    """300W's file of points in mien's pixels."""
    rows = "".join(f"{x + 0.5:.6f} {y + 0.5:.6f}\n" for x, y in points_px)
    return f"version: 1\nn_points:  {len(points_px)}\n{{\n{rows}}}\n"


def write_mat(file: Path, points_px: np.ndarray, yaw_radians: float) -> None:
    """AFLW2000-3D's file of points in mien's pixels."""
    from scipy.io import savemat

    points = np.vstack([points_px.T + 0.5, np.zeros(len(points_px))])
    savemat(file, {"pt3d_68": points, "Pose_Para": np.array([[0.1, yaw_radians, 0.0, 1, 1, 1, 1e-4]])})


def xml_text(faces: dict[str, np.ndarray]) -> str:
    """dlib's table of points in mien's pixels, by picture."""
    images = ""
    for name, points in faces.items():
        parts = "".join(
            f"<part name='{k:02d}' x='{x - 0.5:.6f}' y='{y - 0.5:.6f}'/>" for k, (x, y) in enumerate(points)
        )
        box = "<box top='1' left='2' width='30' height='30'>"
        images += f"<image file='{name}'>{box}{parts}</box></image>"
    return f"<?xml version='1.0'?><dataset><name>x</name><images>{images}</images></dataset>"
