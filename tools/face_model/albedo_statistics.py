"""Mean and components of incomplete, partly wrong patterns: robust PCA, split by symmetry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIRRORED = 0.35
"""Weight of what the other half of the face shows, where a vertex is not seen itself."""

EVERY = 3
"""Scores are found on one of so many vertices, components then on all."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """P patterns as a mean and components.

    Attributes:
        mean: (N, 3), symmetric.
        components: (K, N, 3) per standard deviation, each symmetric or antisymmetric.
        sign: (K,) 1 where symmetric, -1 where antisymmetric.
        variance: (K,) share of the patterns' variance.
        scores: (P, K) coefficients of the patterns.
    """

    mean: np.ndarray
    components: np.ndarray
    sign: np.ndarray
    variance: np.ndarray
    scores: np.ndarray

    def patterns(self) -> np.ndarray:
        """(P, N, 3) float32, as mean and components tell them."""
        flat = self.components.reshape(len(self.components), -1).astype(np.float32)
        told = self.scores.astype(np.float32) @ flat
        return self.mean.astype(np.float32) + told.reshape(-1, *self.mean.shape)


def principal_components(
    patterns: np.ndarray,
    weight: np.ndarray,
    importance: np.ndarray,
    mirror: np.ndarray,
    photo_weight: np.ndarray,
    counts: tuple[int, int],
    rounds: int = 6,
) -> Spectrum:
    """Robust principal components with missing data, of the patterns and their mirror images.

    Alternates between filling what is missing with the low-rank reconstruction and the components of the
    filled patterns (S. Roweis, "EM algorithms for PCA and SPCA", 1998); what a pattern shows counts less the
    further it is from its reconstruction (Geman and McClure). Of a set that is closed under mirroring the
    components are symmetric or antisymmetric, so the halves are treated apart.

    Args:
        patterns: (P, N, 3) float32. weight: (P, N) in [0, 1].
        importance: (N,) weight of a vertex: its area.
        mirror: (N,) partners. photo_weight: (P,) of each pattern.
        counts: how many symmetric and antisymmetric components.
    """
    share = photo_weight / photo_weight.sum()
    some = np.flatnonzero(np.minimum(np.arange(len(mirror)), mirror) % EVERY == 0)
    number = np.zeros(len(mirror), int)
    number[some] = np.arange(len(some))
    scores, variance = _scores(
        *_observed(patterns[:, some], weight[:, some], number[mirror[some]]),
        importance[some], number[mirror[some]], share, counts, rounds,
    )  # fmt: skip
    mean, components = _fields(*_observed(patterns, weight, mirror), share, scores)
    sign = np.repeat([1.0, -1.0], counts)
    mean = 0.5 * (mean + mean[mirror])
    components = 0.5 * (components + sign[:, None, None] * components[:, mirror])
    return Spectrum(mean, components, sign, variance, scores)


def _observed(patterns: np.ndarray, weight: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Patterns (P, N, 3) with the other half's where not seen themselves, and their weight (P, N)."""
    other = weight[:, mirror] * MIRRORED * (1.0 - weight)
    known = weight + other
    total = weight[..., None] * patterns + other[..., None] * patterns[:, mirror]
    return total / (known[..., None] + 1e-6), known


def _scores(observed, known, importance, mirror, share, counts, rounds) -> tuple[np.ndarray, np.ndarray]:
    """Scores (P, K) of unit variance, of symmetric components first, and the variance shares (K,)."""
    scale = np.sqrt(importance / importance.mean()).astype(np.float32)[:, None]
    share = share.astype(np.float32)
    mean = np.einsum("pn,pnc->nc", known * share[:, None], observed)
    mean /= (known * share[:, None]).sum(0)[:, None] + 1e-9
    filled, trust = 0.5 * (mean + mean[mirror]), known
    for _ in range(rounds):
        full = trust[..., None] * (observed - filled) + filled
        mean = np.tensordot(share.astype(np.float32), full, 1)
        mean = 0.5 * (mean + mean[mirror])
        full = (full - mean) * scale
        mirrored = full[:, mirror]
        filled, variance, scores, total = mean, [], [], 0.0
        for half, count in zip((0.5 * (full + mirrored), 0.5 * (full - mirrored)), counts, strict=True):
            rows = half.reshape(len(half), -1)
            directions, spread, score = _decompose(rows, share, count)
            shrunk = score * np.maximum(0.0, 1.0 - 0.5 * (spread[-1] / spread) ** 2).astype(np.float32)
            filled = filled + (shrunk @ directions).reshape(observed.shape) / scale
            total += (rows**2).sum(1) @ share
            variance.append(spread**2)
            scores.append(score / spread)
        size = np.abs(observed - filled).mean(-1)
        typical = 1.48 * np.median(size, axis=0) + 0.02
        trust = known / (1.0 + (size / (3.0 * typical)) ** 2) ** 2
    return np.concatenate(scores, axis=1), np.concatenate(variance) / total


def _decompose(rows: np.ndarray, share: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit directions (count, M), standard deviations and scores (P, count) of weighted rows (P, M)."""
    weighted = rows * np.sqrt(share).astype(np.float32)[:, None]
    values, vectors = np.linalg.eigh((weighted @ weighted.T).astype(np.float64))
    spread = np.sqrt(np.maximum(values[::-1][:count], 1e-12))
    directions = (vectors[:, ::-1][:, :count] / spread).T.astype(np.float32) @ weighted
    directions *= np.sign(directions.sum(axis=1, keepdims=True) + 1e-12)
    return directions, spread, rows @ directions.T


def _fields(observed, known, share, scores) -> tuple[np.ndarray, np.ndarray]:
    """Mean (N, 3) and components (K, N, 3) by robust ridge regression of each vertex on the scores (P, K)."""
    count, vertices = scores.shape[1] + 1, observed.shape[1]
    design = np.c_[np.ones(len(scores)), scores].astype(np.float32)
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    ridge = (0.02 * np.eye(count)).astype(np.float32)
    fields = np.empty((count, vertices, 3), np.float32)
    for start in range(0, vertices, 1500):
        part = slice(start, start + 1500)
        values, trust = observed[:, part], known[:, part] * share[:, None].astype(np.float32)
        for robust in (False, True):
            if robust:
                size = np.abs(values - np.tensordot(design, fields[:, part], 1)).mean(-1)
                typical = 1.48 * np.median(size, axis=0) + 0.02
                trust = trust / (1.0 + (size / (3.0 * typical)) ** 2) ** 2
            matrix = (trust.T @ products).reshape(-1, count, count) + ridge
            right = np.tensordot(design.T, trust[..., None] * values, 1)
            fields[:, part] = np.linalg.solve(matrix, right.transpose(1, 0, 2)).transpose(1, 0, 2)
    return fields[0].astype(np.float64), fields[1:].astype(np.float64)
