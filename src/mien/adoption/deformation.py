"""Deformation transfer: ARKit's actions as another face would do them, and as its own basis can.

R. W. Sumner and J. Popović, "Deformation transfer for triangle meshes", SIGGRAPH 2004.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from mien.mesh import normalize, triangle_normals

_LEAST_AREA_MM2 = 1e-3
"""Of a triangle whose deformation means something."""
_HELD = 1e-3
"""Weight that keeps still vertices where they are: deformation gradients know nothing of translation."""


def transfer_deformation(
    source: np.ndarray, displacements: np.ndarray, target: np.ndarray, triangles: np.ndarray
) -> np.ndarray:
    """What the displacements of one face become on another of the same topology.

    Each triangle of the target is to deform as the source's does: eq. 8 of the paper, least squares, with
    the fourth vertex of eq. 3 along the normal.

    Args:
        source, target: (N, 3) mm, the two faces at rest.
        displacements: (E, N, 3) mm of the source.
        triangles: (T, 3) of both.

    Returns:
        (E, N, 3) mm.
    """
    sound = np.minimum(_areas(source, triangles), _areas(target, triangles)) > _LEAST_AREA_MM2
    triangles = triangles[sound]
    used, corners = np.unique(triangles, return_inverse=True)
    corners = corners.reshape(-1, 3)
    frame = np.linalg.inv(_frames(source, triangles))
    operator, share = _gradient(target[used], corners)
    still = np.abs(displacements[:, used]).max(axis=(0, 2)) < 1e-3
    hold = sp.diags(_HELD + still.astype(float))
    factor = splu((operator.T @ operator + hold).tocsc())
    moved = np.zeros_like(displacements, np.float64)
    for shape, found in zip(displacements, moved, strict=True):
        bent = np.einsum("tij,tjk->tik", _frames(source + shape, triangles), frame)
        change = (share[:, None, None] * (bent - np.eye(3)).transpose(0, 2, 1)).reshape(-1, 3)
        found[used] = factor.solve(operator.T @ change + _HELD * shape[used])
    return moved


def basis_coefficients(
    wanted: np.ndarray, components: np.ndarray, weight: np.ndarray, error_mm: float = 0.1
) -> np.ndarray:
    """(E, A) coefficients of a basis (E, N, 3) nearest to displacements (A, N, 3), by weights (N,) of points.

    Args:
        wanted, components, weight: as above; mm.
        error_mm: of the displacements, root of mean square; coefficients have a standard normal prior.
    """
    root = np.sqrt(np.repeat(weight / max(weight.sum(), 1e-9), 3))
    system = root[:, None] * components.reshape(len(components), -1).T
    goal = root[:, None] * wanted.reshape(len(wanted), -1).T
    form = system.T @ system + error_mm**2 * np.eye(system.shape[1])
    return np.linalg.solve(form, system.T @ goal)


def _frames(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(T, 3, 3) of which the columns are two edges of each triangle and its unit normal times a length."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    length = np.sqrt(np.linalg.norm(across, axis=1, keepdims=True))
    return np.stack([b - a, c - a, normalize(across) * np.maximum(length, 1e-6)], axis=-1)


def _areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    return 0.5 * np.linalg.norm(triangle_normals(vertices, triangles), axis=1)


def _gradient(vertices: np.ndarray, triangles: np.ndarray) -> tuple[sp.csr_matrix, np.ndarray]:
    """(3 T, N) operator, a function on the vertices to its gradient in each triangle, times (T,) weights.

    The weights are roots of areas. Along the normal there is no gradient, which is what eliminating the
    fourth vertex amounts to.
    """
    inverse = np.linalg.inv(_frames(vertices, triangles))  # rows: gradients of the edges' coordinates
    area = _areas(vertices, triangles)
    share = np.sqrt(area / area.mean())
    slopes = np.stack([-inverse[:, 0] - inverse[:, 1], inverse[:, 0], inverse[:, 1]], axis=1)
    rows = np.broadcast_to(np.arange(3 * len(triangles)).reshape(-1, 1, 3), slopes.shape)
    columns = np.broadcast_to(triangles[:, :, None], slopes.shape)
    values = share[:, None, None] * slopes
    form = (3 * len(triangles), len(vertices))
    return sp.csr_matrix((values.ravel(), (rows.ravel(), columns.ravel())), form), share
