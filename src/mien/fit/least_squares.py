"""The quadratic step that every stage of the fit takes: normal equations with bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

_ROUNDS = 12


@dataclass(frozen=True, eq=False)
class Linearisation:
    """Residuals and their slopes in units of their own standard deviations.

    Attributes:
        jacobian: (N, M) float32, how the prediction moves with each unknown, times scale.
        residual: (M,) observation minus prediction, times scale.
        scale: (M,) one over the deviation of each residual by itself; 0 where it is not believed.
        shared: (R, M) float32, errors that residuals have in common, times scale; None if there are none.
    """

    jacobian: np.ndarray
    residual: np.ndarray
    scale: np.ndarray
    shared: np.ndarray | None = None

    def normal_equations(self) -> tuple[np.ndarray, np.ndarray]:
        """J C⁻¹ Jᵀ (N, N) and J C⁻¹ r (N,) in float64, with C = 1 + sharedᵀ shared.

        Products are float32, so the diagonal is raised by what their rounding can amount to. C is
        inverted by Woodbury's identity.
        """
        residual = self.residual.astype(np.float32)
        hessian = (self.jacobian @ self.jacobian.T).astype(np.float64)
        if self.shared is not None:
            covariance = np.eye(len(self.shared)) + self.shared @ self.shared.T
            factor = cholesky(covariance, lower=True, check_finite=False)
            across = solve_triangular(factor, self.shared @ self.jacobian.T, lower=True, check_finite=False)
            hessian -= across.T @ across
            common = cho_solve((factor, True), self.shared @ residual, check_finite=False)
            residual = residual - common.astype(np.float32) @ self.shared
        hessian[np.diag_indices_from(hessian)] *= 1 + len(hessian) * np.finfo(np.float32).eps
        return hessian, (self.jacobian @ residual).astype(np.float64)


def bounded_step(hessian: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The step d that minimises d·H·d / 2 - g·d, its last B numbers between bounds.

    The others are eliminated: with H = L Lᵀ the corner of L that belongs to the last B is the factor of what
    remains of H for them.

    Args:
        hessian: (N, N) symmetric positive definite.
        gradient: (N,) downhill direction.
        low, high: (B,) bounds of the step, low <= 0 <= high, infinite where there is none.

    Returns:
        (N,) step.
    """
    free = len(gradient) - len(low)
    factor = cholesky(hessian, lower=True, check_finite=False)
    reduced = solve_triangular(factor, gradient, lower=True, check_finite=False)
    corner = factor[free:, free:]
    bounded = _active_set(corner @ corner.T, corner @ reduced[free:], low, high)
    rest = reduced[:free] - factor[free:, :free].T @ bounded
    unbounded = solve_triangular(factor[:free, :free], rest, lower=True, trans="T", check_finite=False)
    return np.concatenate([unbounded, bounded])


def _active_set(hessian: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`bounded_step` where every unknown is bounded.

    Bounds that are touched at the start are held at first. A bound is taken up where a step would cross it
    and given up where the gradient points back inside (Nocedal and Wright 2006, section 16.5, with all
    violated bounds at once).
    """
    step = np.zeros_like(gradient)
    fixed = (low == 0) | (high == 0)
    for _ in range(_ROUNDS):
        free = np.flatnonzero(~fixed)
        step[free] = 0
        right = gradient[free] - hessian[free] @ step
        found = np.linalg.solve(hessian[np.ix_(free, free)], right)
        step[free] = np.clip(found, low[free], high[free])
        slope = gradient - hessian @ step
        crossed = free[found != step[free]]
        released = fixed & (((step <= low) & (slope > 0)) | ((step >= high) & (slope < 0)))
        if not (crossed.size or released.any()):
            break
        fixed[crossed] = True
        fixed[released] = False
    return step
