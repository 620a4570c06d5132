"""Pictures of meshes from stated directions, and the way back from a picture to the mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from mien.camera import Camera, project, rotate, rotation_matrix, rotation_vector, to_camera
from mien.mesh import vertex_normals
from mien.raster import rasterize
from mien.render import render_mesh

SOFT = np.zeros((9, 3), np.float32)
SOFT[0], SOFT[2], SOFT[1] = 2.5, 0.75, 0.35
"""Light from all around, a little more from the front and above."""


@dataclass(frozen=True)
class View:
    """A square picture of a head.

    Attributes:
        yaw_degrees, pitch_degrees: turn of the head to its left, and bow.
        size_px: side of the picture.
        width_mm: what the side shows at the model's origin.
        centre_mm: the point of the model at the centre of the picture.
        distance_mm: from the camera.
        sidelight: strength of the light from the side.
    """

    yaw_degrees: float = 0.0
    pitch_degrees: float = 0.0
    size_px: int = 512
    width_mm: float = 270.0
    centre_mm: tuple[float, float, float] = (0.0, -15.0, 0.0)
    distance_mm: float = 900.0
    sidelight: float = 0.3

    @property
    def camera(self) -> Camera:
        """The camera, principal point at the centre."""
        half = self.size_px / 2
        focal = self.size_px * self.distance_mm / self.width_mm
        return Camera(np.float64(focal), np.array([half, half]), (self.size_px, self.size_px))

    @property
    def rotation(self) -> np.ndarray:
        """(3,) axis-angle."""
        yaw, pitch = np.radians([self.yaw_degrees, self.pitch_degrees])
        turn = rotation_matrix(np.array([pitch, 0, 0])) @ rotation_matrix(np.array([0, yaw, 0]))
        return rotation_vector(turn)

    def points_camera(self, vertices: np.ndarray) -> np.ndarray:
        """(V, 3) model frame to camera frame."""
        return to_camera(
            vertices - np.array(self.centre_mm), self.rotation, np.array([0, 0, self.distance_mm])
        )

    def points_px(self, vertices: np.ndarray) -> np.ndarray:
        """(V, 3) model frame to (V, 3) of x_px, y_px, depth_mm."""
        return project(self.points_camera(vertices), self.camera)


def picture(
    vertices: np.ndarray,
    triangles: np.ndarray,
    albedo: np.ndarray,
    view: View,
    supersample: int = 2,
    background: float = 0.55,
) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a coloured mesh; `albedo` (V, 3) linear RGB."""
    light = SOFT.copy()
    light[3] = view.sidelight
    normals = rotate(vertex_normals(vertices.astype(np.float32), triangles), view.rotation.astype(np.float32))
    seen = render_mesh(
        view.points_camera(vertices).astype(np.float32), normals, albedo.astype(np.float32), triangles,
        view.camera, light, supersample=supersample, background=np.full(3, background, np.float32),
    )  # fmt: skip
    return seen.image_uint8


def cast(points_px: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, view: View) -> np.ndarray:
    """(N, 2) places in the picture to (N, 3) points of the mesh, the nearest seen one if beside it."""
    fragments = rasterize(view.points_px(vertices), triangles, view.size_px, view.size_px)
    column, row = np.clip(points_px[:, :2], 0, view.size_px - 1).astype(int).T
    beside = fragments.triangle[row, column] < 0
    if beside.any():
        covered = np.argwhere(fragments.triangle >= 0)
        nearest = cKDTree(covered + 0.5).query(points_px[beside, 1::-1])[1]
        row[beside], column[beside] = covered[nearest].T
    corners = vertices[triangles[fragments.triangle[row, column]]]
    return (corners * fragments.barycentric[row, column][..., None]).sum(axis=1)
