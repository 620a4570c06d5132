"""Photographs read at the vertices of the face: what the albedo is learned from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from mien.camera import Camera, project, rotate, to_camera
from mien.detect import Detector
from mien.fit.landmark_fit import Geometry, LandmarkBasis, fit_landmarks
from mien.image import load_image, srgb_to_linear
from mien.mesh import normalize, vertex_normals
from mien.morphable import MorphableModel
from mien.raster import rasterize
from mien.render import incidence

FINEST_MM = 1.0
"""Photographs are scaled down until a pixel is this large on the face: vertices lie further apart."""

SMALLEST_FACE_PX = 40.0
"""Width of the smallest face that is read."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Faces of P photographs at N detail vertices.

    Attributes:
        names: (P,) file names with their folder.
        vertices: (N,) int32 detail vertices, closed under mirroring.
        radiance: (P, N, 3) float32 linear RGB.
        normals: (P, N, 3) float32 unit vectors, light frame.
        seen: (P, N) float32 in [0, 1], 0 where hidden, outside the photograph or turned away.
    """

    names: np.ndarray
    vertices: np.ndarray
    radiance: np.ndarray
    normals: np.ndarray
    seen: np.ndarray

    def __getitem__(self, photos: np.ndarray) -> Samples:
        """Some of the photographs, by number or mask."""
        return Samples(
            self.names[photos], self.vertices, self.radiance[photos], self.normals[photos], self.seen[photos]
        )


def detect_all(photos_folder: Path, work_folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Names (P,) of the photographs with a face, and the largest face's landmarks (P, 478, 2) in pixels.

    Kept in `work_folder`, because it depends on the photographs only.
    """
    kept = work_folder / "albedo_landmarks.npz"
    if not kept.exists():
        names, landmarks = [], []
        with Detector() as detector:
            for path in sorted(photos_folder.glob("*/*.jpg")):
                faces = detector.detect(load_image(path), max_faces=1)
                if faces and faces[0].box_px[2] - faces[0].box_px[0] >= SMALLEST_FACE_PX:
                    names.append(f"{path.parent.name}/{path.name}")
                    landmarks.append(faces[0].landmarks_px[:, :2])
        np.savez(kept, names=np.array(names), landmarks=np.array(landmarks))
    with np.load(kept) as arrays:
        return arrays["names"], arrays["landmarks"]


def sample_photos(model: MorphableModel, photos_folder: Path, work_folder: Path) -> Samples:
    """Reads every photograph's face at the front of the head. Kept in `work_folder` for each geometry."""
    digest = hashlib.sha256()
    for array in (model.identity_mean, model.identity_components, model.refinement.triangles):
        digest.update(np.ascontiguousarray(array).tobytes())
    kept = work_folder / f"albedo_samples_{digest.hexdigest()[:12]}.npz"
    if not kept.exists():
        names, landmarks = detect_all(photos_folder, work_folder)
        reader = _Reader(model)
        views = [
            reader(load_image(photos_folder / name), points)
            for name, points in zip(names, landmarks, strict=True)
        ]
        radiance, normals, seen = (np.stack(part) for part in zip(*views, strict=True))
        np.savez(kept, names=names, vertices=reader.vertices, radiance=radiance, normals=normals, seen=seen)
    with np.load(kept) as arrays:
        return Samples(**{f.name: arrays[f.name] for f in fields(Samples)})


class _Reader:
    """Fits the geometry to a photograph's landmarks and reads the photograph at the vertices of the face."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.basis = LandmarkBasis.of(model, model.landmarks478, sliding=False)
        self.vertices = face_vertices(model)

    @cached_property
    def warp(self) -> np.ndarray:
        """(N, 478) weights that spread displacements of the landmarks smoothly over the mean face.

        A biharmonic spline in space, r as the kernel, with a little smoothing for the detector's noise.
        """
        landmarks = self.model.landmarks478(self.model.identity_mean).astype(np.float64)
        points = self.model.refinement(self.model.identity_mean)[self.vertices].astype(np.float64)
        count = len(landmarks)
        system = np.zeros((count + 4, count + 4))
        system[:count, :count] = -np.linalg.norm(landmarks[:, None] - landmarks[None], axis=-1)
        system[:count, :count] += 3.0 * np.eye(count)
        affine = np.c_[np.ones(count), landmarks / 50.0]
        system[:count, count:], system[count:, :count] = affine, affine.T
        solve = np.linalg.solve(system, np.eye(count + 4)[:, :count])
        kernel = -np.linalg.norm(points[:, None] - landmarks[None], axis=-1)
        return kernel @ solve[:count] + np.c_[np.ones(len(points)), points / 50.0] @ solve[count:]

    def __call__(self, image: np.ndarray, landmarks_px: np.ndarray) -> tuple[np.ndarray, ...]:
        """Radiance (N, 3), normals (N, 3) and visibility (N,) float32 of one photograph."""
        model, (height, width) = self.model, image.shape[:2]
        geometry = fit_landmarks(self.basis, landmarks_px, (width, height))
        mm_per_px = geometry.translation[2] / geometry.focal_px
        scale = min(1.0, mm_per_px / FINEST_MM)
        linear = srgb_to_linear(image).astype(np.float32)
        if scale < 1.0:
            linear = cv2.resize(linear, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

        points_px, normals, seen = self._view(geometry, (width, height))
        fitted = model.landmarks478(points_px[: len(model.identity_mean)])[:, :2]
        at = points_px[self.vertices, :2] + self.warp @ (landmarks_px - fitted)
        at = np.float32(at * [linear.shape[1] / width, linear.shape[0] / height] - 0.5)
        inside = (at >= 0).all(1) & (at <= [linear.shape[1] - 1, linear.shape[0] - 1]).all(1)
        radiance = cv2.remap(linear, at[None], None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)[0]
        seen = (seen[self.vertices] * inside).astype(np.float32)
        return np.maximum(radiance, 1e-4), normals[self.vertices], seen

    def _view(self, geometry: Geometry, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
        """All detail vertices in a photograph: (V, 3) px and mm, normals (V, 3), visibility (V,)."""
        model, count = self.model, self.basis.identity_count
        identity, expression = np.split(geometry.coefficients.astype(np.float32), [count])
        base = model.vertices(identity, expression)
        turn = geometry.rotation_vector
        normals = rotate(vertex_normals(base, model.triangles, incidence(model)).astype(np.float64), turn)
        normals = normalize(model.refinement(normals))
        points = to_camera(model.refinement(base).astype(np.float64), turn, geometry.translation)
        camera = Camera(geometry.focal_px, np.array(size) / 2.0, size)
        points_px = project(points, camera)
        fine = points_px * [2.0, 2.0, 1.0]
        depth = rasterize(fine, model.refinement.triangles, 2 * size[1], 2 * size[0]).depth
        cell = np.clip(fine[:, 1::-1].astype(int), 0, [2 * size[1] - 1, 2 * size[0] - 1])
        hidden = points[:, 2] > depth[cell[:, 0], cell[:, 1]] + 3.0
        ray = points * [1, -1, -1]
        facing = -(normals * ray).sum(1) / np.linalg.norm(ray, axis=1)
        return points_px, normals.astype(np.float32), np.clip((facing - 0.15) / 0.35, 0.0, 1.0) * ~hidden


def face_vertices(model: MorphableModel) -> np.ndarray:
    """(N,) int32 detail vertices of the skin in front of the ears and above the throat, and of the irises."""
    mean = model.refinement(model.identity_mean)
    landmarks = model.landmarks478(model.identity_mean)
    oval = landmarks[model.landmarks478.contour]
    low, high = oval.min(0), oval.max(0)
    near = (mean[:, 2] > low[2] - 15.0) & (mean[:, 1] > low[1] - 15.0) & (mean[:, 1] < high[1] + 30.0)
    near &= model.refinement.part == model.part_names.index("skin")
    for centre in landmarks[IRIS_CENTRES]:
        near |= (np.linalg.norm(mean - centre, axis=1) < IRIS_MM) & (model.refinement.part != 0)
    return np.flatnonzero(near & near[model.refinement.mirror]).astype(np.int32)


IRIS_CENTRES = [468, 473]
"""MediaPipe's landmarks of the pupils."""

IRIS_MM = 6.0
"""Radius of the iris, and of what is read of the eyeballs."""
