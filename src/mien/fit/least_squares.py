"""The quadratic step that every stage of the fit takes: normal equations with bounds."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_ROUNDS = 8


def normal_equations(
    jacobian: np.ndarray, weight: np.ndarray, residual: np.ndarray, shared: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """J C⁻¹ Jᵀ and J C⁻¹ r in float64, C = diag(1 / weight) + sharedᵀ shared the residuals' covariance.

    Products are float32; the diagonal carries a rounding error's worth more. Shared errors are whitened by
    C^(-1/2) in the space they span, so that nothing cancels.

    Args:
        jacobian: (N, M) float32, a row for each unknown. weight, residual: (M,).
        shared: (R, M) errors that residuals have in common.

    Returns:
        (N, N), (N,).
    """
    root = np.sqrt(weight).astype(np.float32)
    white, right = jacobian * root, residual.astype(np.float32) * root
    if shared is not None:
        spread = shared.astype(np.float32) * root
        values, vectors = np.linalg.eigh((spread @ spread.T).astype(np.float64))
        values = np.maximum(values, 1e-9)
        across = ((vectors / np.sqrt(values)).T.astype(np.float32)) @ spread
        shrink = (1 - 1 / np.sqrt(1 + values)).astype(np.float32)[:, None] * across
        white = white - (white @ across.T) @ shrink
        right = right - (across @ right) @ shrink
    hessian = (white @ white.T).astype(np.float64)
    hessian[np.diag_indices_from(hessian)] += np.finfo(np.float32).eps * np.trace(hessian)
    return hessian, (white @ right).astype(np.float64)


def bounded_step(
    hessian: np.ndarray, gradient: np.ndarray, value: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """The step d that minimises d·H·d / 2 - g·d with lower <= value + d <= upper, by an active-set method.

    A bound is taken up where a step would cross it and given up where the gradient points back inside
    (Nocedal and Wright 2006, section 16.5, with all violated bounds at once). Unknowns without bounds are
    eliminated first, so that the rounds are over the few bounded ones.

    Args:
        hessian: (N, N) symmetric positive definite. gradient: (N,) downhill direction.
        value: (N,) current values, inside the bounds. lower, upper: (N,), infinite where free.

    Returns:
        (N,) step.
    """
    bounded = np.isfinite(lower) | np.isfinite(upper)
    free = np.flatnonzero(~bounded)
    bounded = np.flatnonzero(bounded)
    across = hessian[np.ix_(free, bounded)]
    factor = cho_factor(hessian[np.ix_(free, free)], check_finite=False)
    eliminated = cho_solve(factor, np.column_stack([across, gradient[free]]), check_finite=False)
    step = np.empty_like(gradient)
    step[bounded] = _active_set(
        hessian[np.ix_(bounded, bounded)] - across.T @ eliminated[:, :-1],
        gradient[bounded] - across.T @ eliminated[:, -1],
        (lower - value)[bounded],
        (upper - value)[bounded],
    )
    step[free] = eliminated[:, -1] - eliminated[:, :-1] @ step[bounded]
    return step


def _active_set(hessian: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`bounded_step` where every unknown is bounded: low <= d <= high."""
    step = np.zeros_like(gradient)
    fixed = np.zeros(len(gradient), bool)
    for _ in range(_ROUNDS):
        free = ~fixed
        right = gradient[free] - hessian[np.ix_(free, fixed)] @ step[fixed]
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], right)
        below, above = free & (step < low), free & (step > high)
        step[below], step[above] = low[below], high[above]
        slope = gradient - hessian @ step
        released = fixed & (((step <= low) & (slope > 0)) | ((step >= high) & (slope < 0)))
        if not (below.any() or above.any() or released.any()):
            break
        fixed = (fixed | below | above) & ~released
    return np.clip(step, low, high)
