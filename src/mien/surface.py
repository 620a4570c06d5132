"""Geometry on triangle meshes that registration needs: closest points, Laplacians, similarities, filling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from mien.mesh import triangle_normals

FLIP = np.array([-1.0, 1.0, 1.0])
"""Mirrors a point or displacement left to right."""


@dataclass(frozen=True)
class SurfacePoints:
    """Points on a mesh.

    Attributes:
        vertices: (N, 3) int32 corners of the triangle each point is on.
        barycentric: (N, 3) float64 weights.
        positions: (N, 3) the points.
        distance: (N,) from the query; inf where no triangle faced the same way.
    """

    vertices: np.ndarray
    barycentric: np.ndarray
    positions: np.ndarray
    distance: np.ndarray


def closest_points(
    query: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray | None = None,
    agreement: float = 0.5,
    neighbours: int = 16,
) -> SurfacePoints:
    """Closest points of a mesh among the triangles whose centroids are nearest.

    Source: C. Ericson, "Real-Time Collision Detection", 2005, section 5.1.5.

    Args:
        query: (N, 3).
        vertices, triangles: the mesh (M, 3), (T, 3).
        normals: (N, 3) unit normals at the query; triangles facing otherwise are left out.
        agreement: smallest cosine between a triangle's normal and the query's.
        neighbours: how many triangles are tried.
    """
    _, nearest = cKDTree(vertices[triangles].mean(axis=1)).query(query, k=neighbours)
    corners = vertices[triangles[nearest]]
    weights = _closest_weights(query[:, None], corners)
    positions = np.einsum("nkc,nkcd->nkd", weights, corners)
    distance = np.linalg.norm(positions - query[:, None], axis=-1)
    if normals is not None:
        facing = triangle_normals(vertices, triangles)
        facing /= np.linalg.norm(facing, axis=1, keepdims=True) + 1e-12
        distance = np.where(np.einsum("nkd,nd->nk", facing[nearest], normals) > agreement, distance, np.inf)
    best = distance.argmin(axis=1)
    take = np.arange(len(query)), best
    return SurfacePoints(triangles[nearest[take]], weights[take], positions[take], distance[take])


def _closest_weights(p: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(..., 3) barycentric weights of the points of triangles (..., 3, 3) closest to `p` (..., 3)."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]

    def dot(u, v):
        return (u * v).sum(axis=-1)

    ab, ac = b - a, c - a
    d1, d2, d3, d4 = dot(ab, p - a), dot(ac, p - a), dot(ab, p - b), dot(ac, p - b)
    d5, d6 = dot(ab, p - c), dot(ac, p - c)
    inside_a, inside_b, inside_c = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    total = inside_a + inside_b + inside_c
    total = np.where(np.abs(total) < 1e-12, 1.0, total)
    tiny = 1e-12
    along_bc = (d4 - d3) / (d4 - d3 + d5 - d6 + tiny)
    zero, one = np.zeros_like(d1), np.ones_like(d1)
    cases = [
        ((d1 <= 0) & (d2 <= 0), zero, zero),
        ((d3 >= 0) & (d4 <= d3), one, zero),
        ((d6 >= 0) & (d5 <= d6), zero, one),
        ((inside_c <= 0) & (d1 >= 0) & (d3 <= 0), d1 / (d1 - d3 + tiny), zero),
        ((inside_b <= 0) & (d2 >= 0) & (d6 <= 0), zero, d2 / (d2 - d6 + tiny)),
        ((inside_a <= 0) & (d4 >= d3) & (d5 >= d6), 1 - along_bc, along_bc),
    ]
    conditions = [case[0] for case in cases]
    v = np.select(conditions, [case[1] for case in cases], inside_b / total)
    w = np.select(conditions, [case[2] for case in cases], inside_c / total)
    return np.stack([1 - v - w, v, w], axis=-1)


def cotangent_laplacian(vertices: np.ndarray, triangles: np.ndarray) -> tuple[sp.csc_matrix, np.ndarray]:
    """Stiffness (V, V), rows of which sum to 0, and lumped areas (V,); both of the triangles' own vertices.

    Source: U. Pinkall and K. Polthier, "Computing discrete minimal surfaces and their conjugates", 1993.
    """
    count = len(vertices)
    stiffness = sp.csc_matrix((count, count))
    area = np.zeros(count)
    twice_area = np.linalg.norm(triangle_normals(vertices, triangles), axis=1)
    for k in range(3):
        i, j, o = triangles[:, k], triangles[:, (k + 1) % 3], triangles[:, (k + 2) % 3]
        dot = ((vertices[i] - vertices[o]) * (vertices[j] - vertices[o])).sum(axis=1)
        weight = 0.5 * np.clip(dot / np.maximum(twice_area, 1e-9), 0.02, 10.0)
        stiffness += sp.csc_matrix((weight, (i, j)), (count, count))
        area += np.bincount(i, twice_area / 6.0, count)
    stiffness = stiffness + stiffness.T
    return (sp.diags(np.asarray(stiffness.sum(axis=1)).ravel()) - stiffness).tocsc(), area


def bending_energy(vertices: np.ndarray, triangles: np.ndarray) -> sp.csc_matrix:
    """(V, V) quadratic form of the squared Laplacian of a function on the mesh, scale free."""
    stiffness, area = cotangent_laplacian(vertices, triangles)
    used = area > 0
    inverse = np.where(used, area[used].mean() / np.where(used, area, 1.0), 0.0)
    return (stiffness @ sp.diags(inverse) @ stiffness).tocsc()


def fill_smoothly(
    values: np.ndarray, weight: np.ndarray, energy: sp.csc_matrix, stiffness: float
) -> np.ndarray:
    """The function nearest to `values` where `weight` says so, and of least bending elsewhere.

    Args:
        values: (..., V, C).
        weight: (V,) not negative.
        energy: (V, V) from `bending_energy`.
        stiffness: weight of the bending.
    """
    columns = np.moveaxis(values, -2, 0).reshape(len(weight), -1)
    factor = splu((sp.diags(weight + 1e-9) + stiffness * energy).tocsc())
    filled = factor.solve(weight[:, None] * np.where(weight[:, None] > 0, columns, 0.0))
    return np.moveaxis(filled.reshape(len(weight), *values.shape[:-2], values.shape[-1]), 0, -2)


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale s, rotation R (3, 3) and translation t (3,) with s R x + t nearest to the target, least squares.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE PAMI 13, 1991.
    """
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = (singular * sign).sum() / (a**2).sum()
    return scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0)


def similarity_fields(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(7, N, 3) displacements of (N, 3) points: unit translations, scaling and rotations about `centre`."""
    arm = points - centre
    return np.stack(
        [
            *(np.broadcast_to(axis, points.shape) for axis in np.eye(3)),
            arm,
            *(np.cross(axis, arm) for axis in np.eye(3)),
        ]
    )


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of the sphere nearest to (N, 3) points, algebraic least squares."""
    system = np.c_[2.0 * points, np.ones(len(points))]
    *centre, rest = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    centre = np.array(centre)
    return centre, float(np.sqrt(rest + centre @ centre))


def mirrored(field: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(..., V, 3) positions or displacements seen in the mirror."""
    return field[..., mirror, :] * FLIP
