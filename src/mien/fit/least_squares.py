"""The quadratic step that every stage of the fit takes: normal equations with bounds."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_ROUNDS = 8


def normal_equations(
    jacobian: np.ndarray, weight: np.ndarray, residual: np.ndarray, shared: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """J C⁻¹ Jᵀ and J C⁻¹ r in float64, C = diag(1 / weight) + sharedᵀ shared the covariance of the residuals.

    Products are float32; the diagonal carries a rounding error's worth more. C⁻¹ by Woodbury's identity.

    Args:
        jacobian: (N, M) float32, a row for each unknown. weight, residual: (M,).
        shared: (R, M) errors that residuals have in common.

    Returns:
        (N, N), (N,).
    """
    weighted = jacobian * weight.astype(np.float32)
    hessian = (weighted @ jacobian.T).astype(np.float64)
    gradient = (weighted @ residual.astype(np.float32)).astype(np.float64)
    hessian[np.diag_indices_from(hessian)] += np.finfo(np.float32).eps * np.trace(hessian)
    if shared is not None:
        across = (weighted @ shared.T.astype(np.float32)).astype(np.float64)
        weighted_shared = shared * weight
        inner = np.linalg.inv(np.eye(len(shared)) + weighted_shared @ shared.T)
        hessian -= across @ inner @ across.T
        gradient -= across @ (inner @ (weighted_shared @ residual))
    return hessian, gradient


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
        released = fixed & (((value + step <= lower) & (slope > 0)) | ((value + step >= upper) & (slope < 0)))
        if not (low.any() or high.any() or released.any()):
            break
        fixed = (fixed | low | high) & ~released
    return np.clip(step, lower - value, upper - value)
