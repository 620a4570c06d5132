"""Triangle meshes and their normals: what every half of the renderer and every exporter shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: (V, 3) float32, millimetres; the frame is the context's (docs/conventions.md).
        triangles: (T, 3) int32 vertex numbers, counter-clockwise from outside in the model frame.
    """

    vertices: Any
    triangles: Any


def incident_triangles(triangles: Any, count: int) -> np.ndarray:
    """Which triangles meet at each vertex.

    Args:
        triangles: (T, 3) vertex numbers.
        count: number of vertices V.

    Returns:
        (V, D) int32 triangle numbers in rising order, D the largest number that meet at one vertex; rows with
        fewer are filled up with -1.
    """
    corners = np.asarray(triangles).reshape(-1)
    order = np.argsort(corners, kind="stable")
    valence = np.bincount(corners, minlength=count)
    first = np.cumsum(valence) - valence
    vertex = corners[order]
    table = np.full((count, max(valence.max(initial=0), 1)), -1, np.int32)
    table[vertex, np.arange(len(corners)) - first[vertex]] = order // 3
    return table


def triangle_normals(vertices: Any, triangles: Any) -> Any:
    """(..., T, 3) normals of (T, 3) triangles on (..., V, 3) vertices, as long as twice their areas."""
    xp = array_namespace(vertices)
    a, b, c = (xp.take(vertices, triangles[:, i], axis=-2) for i in range(3))
    return xp.linalg.cross(b - a, c - a)


def vertex_normals(vertices: Any, triangles: Any, incident: Any = None) -> Any:
    """Unit vertex normals: the area-weighted mean of the triangles around each vertex. Differentiable.

    Args:
        vertices: (..., V, 3), NumPy or torch.
        triangles: (T, 3) int32, counter-clockwise from outside.
        incident: (V, D) int32, the table of `incident_triangles`; give it where normals are needed often.
            Not used for NumPy's float32, which a kernel takes.

    Returns:
        (..., V, 3) unit vectors; zero where a vertex has no triangle of any area.

    Raises:
        IndexError: a triangle names a vertex that does not exist.
    """
    xp = array_namespace(vertices)
    if is_numpy_array(vertices) and vertices.dtype == np.float32 and is_numpy_array(triangles):
        return _vertex_normals_numpy(vertices, triangles)
    if incident is None:
        incident = xp.asarray(incident_triangles(triangles, vertices.shape[-2]), device=device(vertices))
    faces = triangle_normals(vertices, triangles)
    nothing = xp.zeros_like(vertices[..., :1, :])
    faces = xp.concat([faces, nothing], axis=-2)
    slot = xp.where(incident < 0, triangles.shape[0], incident)
    total = sum(xp.take(faces, slot[:, i], axis=-2) for i in range(slot.shape[1]))
    return normalize(total)


def _vertex_normals_numpy(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    from mien import mesh_kernel

    flat = np.ascontiguousarray(vertices).reshape(math.prod(vertices.shape[:-2]), *vertices.shape[-2:])
    corners = np.ascontiguousarray(triangles, np.int32)
    if corners.size and corners.view(np.uint32).max() >= flat.shape[1]:  # negative numbers read as huge ones
        raise IndexError(
            f"triangles name vertices {corners.min()} to {corners.max()}, but there are {flat.shape[1]}"
        )
    normals = np.empty_like(flat)
    mesh_kernel.vertex_normals(flat, corners, normals)
    return normals.reshape(vertices.shape)


def normalize(vectors: Any) -> Any:
    """(..., C) vectors at unit length; zero stays zero, and the gradient there is zero."""
    xp = array_namespace(vectors)
    squared = sum(vectors[..., i] * vectors[..., i] for i in range(vectors.shape[-1]))[..., None]
    return vectors / xp.sqrt(xp.where(squared > 0, squared, xp.ones_like(squared)))
