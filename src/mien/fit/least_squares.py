"""The quadratic step that every stage of the fit takes: normal equations with bounds."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_ROUNDS = 8


def bounded_step(
    hessian: np.ndarray, gradient: np.ndarray, value: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """The step d that minimises d·H·d / 2 - g·d with lower <= value + d <= upper, by an active-set method.

    A bound is taken up where a step would cross it and given up where the gradient points back inside
    (Nocedal and Wright 2006, section 16.5, with all violated bounds at once).

    Args:
        hessian: (N, N) symmetric positive definite. gradient: (N,) downhill direction.
        value: (N,) current values, inside the bounds. lower, upper: (N,), infinite where free.

    Returns:
        (N,) step.
    """
    step = np.zeros_like(gradient)
    fixed = np.zeros(len(gradient), bool)
    for _ in range(_ROUNDS):
        free = ~fixed
        right = gradient[free] - hessian[np.ix_(free, fixed)] @ step[fixed]
        step[free] = cho_solve(cho_factor(hessian[np.ix_(free, free)], check_finite=False), right)
        new = value + step
        low, high = free & (new < lower), free & (new > upper)
        step[low], step[high] = (lower - value)[low], (upper - value)[high]
        slope = gradient - hessian @ step
        released = fixed & (
            ((value + step <= lower) & (slope > 0)) | ((value + step >= upper) & (slope < 0))
        )
        if not (low.any() or high.any() or released.any()):
            break
        fixed = (fixed | low | high) & ~released
    return np.clip(step, lower - value, upper - value)
