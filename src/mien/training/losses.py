"""What the encoder is punished for: distances between two codes, in numbers and in what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mien.camera import Camera
from mien.landmarks import MEDIAPIPE68, OUTER_EYES
from mien.lighting import shading
from mien.mesh import incident_triangles, normalize, triangle_normals, vertex_normals
from mien.morphable import MorphableModel
from mien.render import base_only, incidence, render_mesh
from mien.training.crop_code import CropCode

_REGIONS68 = {
    "jaw": slice(0, 17), "brows": slice(17, 27), "nose wrinkles": slice(27, 31), "nose": slice(31, 36),
    "lids": slice(36, 48), "mouth corners": slice(48, 55, 6), "mouth": slice(48, 68),
}  # fmt: skip
_REACH_MM = 6.0  # of a region around its landmarks
_EXPRESSION_STD = 0.2  # of ARKit's coefficients as people's faces have them
_LIT = 3  # light is smooth: its distance is taken at every third of the vertices


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts. Typical sizes of the terms differ; the defaults make them alike.

    Attributes:
        parameters: mean squared difference of identity, expression and albedo coefficients, each weighted by
            its standard deviation in model space (Kim et al., "InverseFaceNet", CVPR 2018, eq. 5).
        blendshapes: Huber distance of the expression coefficients over their standard deviation, all alike:
            in millimetres a blink is nothing beside an open jaw.
        identity: distance of vertices that identity alone makes, mm.
        expression: distance of vertices that expression alone makes, mm.
        geometry: distance of vertices of both together, mm, head frame (after the dense model-space losses of
            Richardson et al., "3D face reconstruction by learning from synthetic data", 3DV 2016).
        albedo: L1 distance of the logarithms of albedo, or of albedo where the model's is not logarithmic.
        radiance: L1 distance of albedo times shading, at the true normals: photometric, without drawing
            (after Tewari et al., "MoFA", ICCV 2017).
        landmarks: distance of the 478 projected landmarks over the distance of the outer eye corners, both of
            the true face.
        rotation: Huber distance of rotation matrices, Frobenius, radians for small angles.
        place: Huber distance of position, log scale and a tenth of log distance.
        illumination: L1 distance of the coefficients of light.
        photometric: L1 distance between the picture and the code's own, drawn by `mien.render`, over the
            pixels that it covers (MoFA). Dear on a CPU; 0 leaves it out.
    """

    parameters: float = 0.5
    blendshapes: float = 4.0
    identity: float = 0.5
    expression: float = 1.0
    geometry: float = 0.5
    albedo: float = 2.0
    radiance: float = 25.0
    landmarks: float = 15.0
    rotation: float = 4.0
    place: float = 4.0
    illumination: float = 0.5
    photometric: float = 0.0


class Losses(nn.Module):
    """All terms for one morphable model; its buffers move with `.to(device)`."""

    def __init__(self, model: MorphableModel, weights: LossWeights, vertices: int = 1200):
        """Chooses the vertices once, the same every time.

        Args:
            model: NumPy.
            weights: of the terms.
            vertices: how many vertices of the face the distances are taken at, at most.
        """
        super().__init__()
        self.weights, self.model = weights, model
        share = region_weights(model)
        face = np.flatnonzero(share > 0)
        rng = np.random.default_rng(0)
        if len(face) > vertices:
            face = np.sort(rng.choice(face, vertices, replace=False, p=share[face] / share[face].sum()))
        lit = face[::_LIT]
        near, triangles, inside = _neighbourhood(np.asarray(model.triangles), lit)
        components = (model.identity_components, model.expression_components)
        sizes = [_rms(part[:, face]) for part in (*components, model.albedo_components)]
        self.expression_std = 1.0 if np.isinf(model.expression_bounds).any() else _EXPRESSION_STD
        buffers = {
            "share": region_weights(model, face),
            "lit_share": region_weights(model, lit),
            "identity_basis": _rows(model.identity_components[:, face]),
            "expression_basis": _rows(model.expression_components[:, face]),
            "albedo_basis": _rows(model.albedo_components[:, face]),
            "lit_albedo_mean": model.albedo_mean[lit].reshape(-1),
            "lit_albedo_basis": _rows(model.albedo_components[:, lit]),
            "landmark_mean": model.landmarks478(model.identity_mean).reshape(-1),
            "landmark_identity": _rows(model.landmarks478(model.identity_components)),
            "landmark_expression": _rows(model.landmarks478(model.expression_components)),
            "near_mean": model.identity_mean[near].reshape(-1),
            "near_identity": _rows(model.identity_components[:, near]),
            "near_expression": _rows(model.expression_components[:, near]),
        }
        spread = (1.0, self.expression_std, 1.0)
        for part, size, std in zip(("identity", "expression", "albedo"), sizes, spread, strict=True):
            buffers[f"{part}_weight"] = size**2 / np.sum(size**2) / std**2
        for name, value in buffers.items():
            self.register_buffer(name, torch.from_numpy(np.array(value, np.float32)), persistent=False)
        self.register_buffer("near_triangles", torch.from_numpy(triangles), persistent=False)
        self.register_buffer("near_inside", torch.from_numpy(inside), persistent=False)

    def forward(
        self, predicted: CropCode, true: CropCode, images: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and each term by its name in `LossWeights`, unweighted.

        Args:
            predicted, true: (N) codes in the crop's camera; where the true one is nan, nothing is punished.
            images: (N, 3, S, S) sRGB in [0, 1], read by the photometric term only.
        """
        predicted, true = _where_known(predicted, true)
        batch = len(true.identity)
        change = CropCode(*(p - t for p, t in zip(predicted, true, strict=True)))
        by_identity = (change.identity @ self.identity_basis).reshape(batch, -1, 3)
        by_expression = (change.expression @ self.expression_basis).reshape(batch, -1, 3)
        terms = {
            "parameters": self._coefficients(change),
            "blendshapes": _huber(change.expression / self.expression_std, 1.0).mean(),
            "identity": (_length(by_identity) @ self.share).mean(),
            "expression": (_length(by_expression) @ self.share).mean(),
            "geometry": (_length(by_identity + by_expression) @ self.share).mean(),
            **self._colours(predicted, true, change),
            "landmarks": self._landmarks(predicted, true),
            "rotation": _huber(_length(change.rotation.flatten(1)) / 2**0.5, 0.2).mean(),
            "place": _place(change),
            "illumination": change.illumination.abs().mean(),
        }
        if self.weights.photometric:
            terms["photometric"] = self._photometric(predicted, images)
        total = sum(getattr(self.weights, name) * term for name, term in terms.items())
        return total, terms

    def _coefficients(self, change: CropCode) -> Tensor:
        parts = (change.identity, change.expression, change.albedo)
        weights = (self.identity_weight, self.expression_weight, self.albedo_weight)
        return sum((part.square() @ weight).mean() for part, weight in zip(parts, weights, strict=True)) / 3

    def _colours(self, predicted: CropCode, true: CropCode, change: CropCode) -> dict[str, Tensor]:
        difference = (change.albedo @ self.albedo_basis).reshape(len(change.albedo), -1, 3)
        with torch.no_grad():
            normals = self._normals(true)
            seen = self._albedo(true) * shading(normals, true.illumination)
        radiance = self._albedo(predicted) * shading(normals, predicted.illumination)
        return {
            "albedo": (difference.abs().mean(2) @ self.share).mean(),
            "radiance": ((radiance - seen).abs().mean(2) @ self.lit_share).mean(),
        }

    def _albedo(self, code: CropCode) -> Tensor:
        """(N, V / 3, 3) linear RGB at the vertices that are lit."""
        value = self.lit_albedo_mean + code.albedo @ self.lit_albedo_basis
        value = value.reshape(len(value), -1, 3)
        return value.clamp_max(0.0).exp() if self.model.albedo_is_log else value.clamp(0.0, 1.0)

    def _normals(self, code: CropCode) -> Tensor:
        """(N, V / 3, 3) unit normals of the vertices that are lit, light frame."""
        flat = self.near_mean + code.identity @ self.near_identity + code.expression @ self.near_expression
        faces = triangle_normals(flat.reshape(len(flat), -1, 3), self.near_triangles)
        faces = torch.cat([faces, torch.zeros_like(faces[:, :1])], dim=1)
        total = sum(faces[:, column] for column in self.near_inside.unbind(1))
        return normalize(total) @ code.rotation.transpose(1, 2)

    def landmarks(self, code: CropCode) -> Tensor:
        """(N, 478, 3) mm, model frame."""
        flat = (
            self.landmark_mean
            + code.identity @ self.landmark_identity
            + code.expression @ self.landmark_expression
        )
        return flat.reshape(len(flat), -1, 3)

    def _landmarks(self, predicted: CropCode, true: CropCode) -> Tensor:
        points = self.landmarks(true)
        eyes_mm = (points[:, OUTER_EYES[0]] - points[:, OUTER_EYES[1]]).norm(dim=1)
        eyes = 2 * true.focal * eyes_mm / true.translation[:, 2]
        apart = predicted.in_crop(self.landmarks(predicted)) - true.in_crop(points)
        return (_length(apart, 1e-3) / eyes[:, None]).mean()

    def _photometric(self, predicted: CropCode, images: Tensor) -> Tensor:
        like = predicted.identity
        model = base_only(self.model.to(like))
        size = images.shape[-1]
        vertices = model.vertices(predicted.identity, predicted.expression)
        normals = vertex_normals(vertices, model.triangles, incidence(model)) @ predicted.rotation.mT
        camera = Camera(predicted.focal * size, like.new_tensor([size / 2, size / 2]), (size, size))
        albedo = model.albedo(predicted.albedo)
        points = predicted.in_camera(vertices)
        drawn = render_mesh(points, normals, albedo, model.triangles, camera, predicted.illumination)
        apart = (drawn.image - images.permute(0, 2, 3, 1)).abs().mean(3)
        return (apart * drawn.mask).sum() / drawn.mask.sum().clamp_min(1.0)


def region_weights(model: MorphableModel, vertices: np.ndarray | None = None) -> np.ndarray:
    """How much each base vertex counts, so that every region of the face counts as much as every other.

    Regions are soft: a vertex belongs to one by its distance to the region's landmarks. The front of skin and
    eyes as a whole is one more region. Small regions, as lids and mouth corners, so get large weights.

    Args:
        model: NumPy.
        vertices: (F,) the vertices among which the weights are shared out; all if not given.

    Returns:
        (V,) or (F,) float64, sums to 1; 0 off the face.
    """
    mean = np.asarray(model.identity_mean, np.float64)
    part = np.array(model.part_names)[model.part]
    facing = vertex_normals(mean.astype(np.float32), np.asarray(model.triangles))[:, 2] > 0.0
    points = model.landmarks478(model.identity_mean)
    front = facing & (np.char.startswith(part, "eye") | (part == "skin")) & (_distance(mean, points) < 20.0)
    places = [points[MEDIAPIPE68[region]] for region in _REGIONS68.values()]
    members = [np.exp(-0.5 * (_distance(mean, place) / _REACH_MM) ** 2) * front for place in places]
    table = np.stack([front.astype(float), *members])
    table = table if vertices is None else table[:, vertices]
    return (table / table.sum(1, keepdims=True)).mean(0)


def _distance(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(V,) distance of each point (V, 3) to the nearest target (L, 3)."""
    from scipy.spatial import cKDTree

    return cKDTree(targets).query(points)[0]


def _neighbourhood(triangles: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chosen vertices and those beside them.

    Returns:
        (M,) vertices of all triangles at the chosen ones; (T, 3) those triangles, in numbers of the first;
        (F, D) which of these triangles meet at each chosen vertex, rows filled up with T.
    """
    kept = triangles[np.isin(triangles, chosen).any(1)]
    near, local = np.unique(kept, return_inverse=True)
    local = local.reshape(-1, 3)
    meeting = incident_triangles(local, len(near))[np.searchsorted(near, chosen)]
    return near, local, np.where(meeting < 0, len(local), meeting)


def _where_known(predicted: CropCode, true: CropCode) -> tuple[CropCode, CropCode]:
    """Both codes, and where the true one is nan what is predicted, of which nothing is then learned."""
    said, told = [], []
    for p, t in zip(predicted, true, strict=True):
        unknown = torch.isnan(t)
        said.append(torch.where(unknown, p.detach(), p))
        told.append(torch.where(unknown, p.detach(), t))
    return CropCode(*said), CropCode(*told)


def _rows(components: np.ndarray) -> np.ndarray:
    return np.asarray(components).reshape(len(components), -1)


def _rms(components: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(_rows(components).astype(np.float64) ** 2, axis=1))


def _length(vectors: Tensor, softness: float = 0.05) -> Tensor:
    """Length of the last axis, rounded off near zero, where its gradient would jump (Charbonnier)."""
    return torch.sqrt(vectors.square().sum(-1) + softness**2) - softness


def _huber(values: Tensor, knee: float) -> Tensor:
    return nn.functional.huber_loss(values, torch.zeros_like(values), reduction="none", delta=knee) / knee


def _place(change: CropCode) -> Tensor:
    parts = torch.cat([change.position, change.log_scale[:, None], 0.1 * change.log_distance[:, None]], dim=1)
    return _huber(parts, 0.1).sum(1).mean()
