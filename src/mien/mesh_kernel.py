"""Vertex normals in one pass over the triangles, compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import types

from mien.compiled import compiled


@compiled(
    types.void(
        types.Array(types.float32, 3, "C", readonly=True),
        types.Array(types.int32, 2, "C", readonly=True),
        types.float32[:, :, ::1],
    ),
    nogil=True,
    error_model="numpy",
)
def vertex_normals(vertices, triangles, out):
    """Unit sums of the normals of the triangles around each vertex; zero where there is no area.

    Args:
        vertices: (B, V, 3).
        triangles: (T, 3), every number in [0, V).
        out: (B, V, 3), any contents.
    """
    out[:] = 0
    for b in range(np.uintp(vertices.shape[0])):
        for t in range(np.uintp(triangles.shape[0])):
            i, j, k = np.uintp(triangles[t, 0]), np.uintp(triangles[t, 1]), np.uintp(triangles[t, 2])
            x, y, z = vertices[b, i, 0], vertices[b, i, 1], vertices[b, i, 2]
            ax, ay, az = vertices[b, j, 0] - x, vertices[b, j, 1] - y, vertices[b, j, 2] - z
            bx, by, bz = vertices[b, k, 0] - x, vertices[b, k, 1] - y, vertices[b, k, 2] - z
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            for v in (i, j, k):
                out[b, v, 0] += nx
                out[b, v, 1] += ny
                out[b, v, 2] += nz
        for v in range(np.uintp(vertices.shape[1])):
            x, y, z = out[b, v, 0], out[b, v, 1], out[b, v, 2]
            squared = x * x + y * y + z * z
            if squared > 0:
                scale = np.float32(1) / np.sqrt(squared)
                out[b, v, 0], out[b, v, 1], out[b, v, 2] = x * scale, y * scale, z * scale
