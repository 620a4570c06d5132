"""The detail mesh: midpoint refinement without T-junctions ("red-green") of the face and the eyes."""

from __future__ import annotations

import numpy as np

from mien.morphable import Refinement


def refine(
    triangles: np.ndarray, part: np.ndarray, mirror: np.ndarray, marks: list[np.ndarray]
) -> Refinement:
    """Splits marked triangles in four, level by level, and their neighbours in two, three or four to conform.

    The mirrored triangle is always split in the mirrored way.

    Source: R. E. Bank, A. H. Sherman, A. Weiser, "Refinement algorithms and data structures for regular local
    mesh refinement", 1983.

    Args:
        triangles: (T, 3) of the base mesh, symmetric.
        part, mirror: (V,) of the base mesh.
        marks: for each level (V,) bool of the base mesh: triangles with a marked corner are split. A new
            vertex is marked where both its parents are.
    """
    levels = []
    marks = [m.copy() for m in marks]
    for level in range(len(marks)):
        edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]], axis=-1)
        split = marks[level][triangles].any(axis=1)
        pairs = np.unique(edges[split].reshape(-1, 2), axis=0).astype(np.int32)
        code = pairs[:, 0].astype(np.int64) * len(part) + pairs[:, 1]
        edge_code = edges[..., 0].astype(np.int64) * len(part) + edges[..., 1]
        place = np.minimum(np.searchsorted(code, edge_code), len(code) - 1)
        middle = np.where(code[place] == edge_code, len(part) + place, -1)
        triangles = _split(triangles, middle, np.minimum(np.arange(len(part)), mirror))

        mirrored_pairs = np.sort(mirror[pairs], axis=1)
        mirrored_code = mirrored_pairs[:, 0].astype(np.int64) * len(part) + mirrored_pairs[:, 1]
        mirror = np.concatenate([mirror, len(part) + np.searchsorted(code, mirrored_code)]).astype(np.int32)
        part = np.concatenate([part, part[pairs[:, 0]]]).astype(np.int32)
        marks = [np.concatenate([m, m[pairs].all(axis=1)]) for m in marks]
        levels.append(pairs)
    return Refinement(tuple(levels), triangles.astype(np.int32), part, mirror)


def _split(triangles: np.ndarray, middle: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Triangles cut at the midpoints (T, 3) of edges 01, 12, 20 (-1: none); `rank` (V,) is mirror free."""
    count = (middle >= 0).sum(axis=1)
    a, b, c = triangles.T
    ab, bc, ca = middle.T
    four = count == 3
    pieces = [triangles[count == 0]]
    pieces += [
        np.stack(corner, axis=1)[four] for corner in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    ]
    for k in range(3):
        a, b, c = np.roll(triangles, -k, axis=1).T
        ab, bc, ca = np.roll(middle, -k, axis=1).T
        two = (count == 1) & (ab >= 0)
        pieces += [np.stack(corner, axis=1)[two] for corner in ((a, ab, c), (ab, b, c))]
        # edges ab and ca are cut: corner a, and a quad b, c, ca, ab cut from the corner of lower rank
        three = (count == 2) & (bc < 0)
        from_b = three & (rank[b] < rank[c])
        from_c = three & (rank[b] >= rank[c])
        pieces.append(np.stack([a, ab, ca], axis=1)[three])
        pieces += [np.stack(corner, axis=1)[from_b] for corner in ((b, c, ca), (b, ca, ab))]
        pieces += [np.stack(corner, axis=1)[from_c] for corner in ((c, ab, b), (c, ca, ab))]
    return np.concatenate(pieces)
