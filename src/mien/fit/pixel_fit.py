"""Light and albedo from pixels: robust least squares over visible skin.

Pixels are read where vertices of the detail mesh fall in the photograph, so that the model's prediction at a
vertex needs no rasteriser and its derivatives are the components themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from mien.fit.landmark_fit import Geometry
from mien.fit.least_squares import normal_equations
from mien.fit.priors import PixelPriors
from mien.image import linear_to_srgb
from mien.lighting import sh_basis
from mien.mesh import incident_triangles, vertex_normals
from mien.morphable import MorphableModel
from mien.raster import rasterize

_FLIP = np.array([1.0, -1.0, -1.0])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SATURATED = 0.98
"""sRGB from which a channel may have been any brighter: a brighter model is no error there."""
_FACE_PX = 144
"""Width in pixels at which a face is read: finer than the vertices' spacing, coarser than pores and noise."""


@dataclass(frozen=True, eq=False)
class PixelBasis:
    """What the pixel fit reads of a model, at a fixed sample of detail vertices. Made once a model.

    Attributes:
        detail: (N,) numbers of the sampled detail vertices.
        from_base: (N, V) sparse, base attributes to the sample.
        albedo_mean: (N, 3). albedo_components: (A, N, 3) float32. albedo_is_log: as the model's.
        components: (3, K + E, N) float32 mm, identity before expression.
        normal_components: (3, K + E, N) float32, derivative of the unit normals at the mean head.
        mean: (V, 3) mm. base_components: (K + E, V, 3) float32 mm.
        triangles: (T, 3). incident: (V, D) incidence table of `vertex_normals`.
    """

    detail: np.ndarray
    from_base: sp.csr_array
    albedo_mean: np.ndarray
    albedo_components: np.ndarray
    albedo_is_log: bool
    components: np.ndarray
    normal_components: np.ndarray
    mean: np.ndarray
    base_components: np.ndarray
    triangles: np.ndarray
    incident: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel, count: int = 2400, seed: int = 0) -> PixelBasis:
        """A sample of `count` skin vertices inside MediaPipe's face oval, and all that lies under them."""
        refine = sp.eye_array(len(model.identity_mean), format="csr")
        for pairs in model.refinement.levels:
            number = refine.shape[0]
            rows = np.repeat(np.arange(len(pairs)), 2)
            average = sp.csr_array(
                (np.full(rows.size, 0.5), (rows, pairs.ravel())), shape=(len(pairs), number)
            )
            refine = sp.vstack([refine, average @ refine], format="csr")
        inside = _inside_oval(model, refine @ model.identity_mean)
        skin = inside & (model.refinement.part == model.part_names.index("skin"))
        candidates = np.flatnonzero(skin)
        chosen = np.sort(
            np.random.default_rng(seed).choice(candidates, min(count, len(candidates)), replace=False)
        )
        from_base = refine[chosen]
        base_components = np.concatenate([model.identity_components, model.expression_components])
        flat = base_components.transpose(1, 2, 0).reshape(len(model.identity_mean), -1)
        components = (from_base @ flat).reshape(len(chosen), 3, -1).transpose(1, 2, 0)
        incident = incident_triangles(model.triangles, len(model.identity_mean))
        return cls(
            detail=chosen,
            from_base=from_base,
            albedo_mean=model.albedo_mean[chosen].astype(np.float64),
            albedo_components=np.ascontiguousarray(model.albedo_components[:, chosen]),
            albedo_is_log=model.albedo_is_log,
            components=np.ascontiguousarray(components, dtype=np.float32),
            normal_components=_normal_components(model, base_components, incident, from_base),
            mean=model.identity_mean.astype(np.float64),
            base_components=base_components,
            triangles=model.triangles,
            incident=incident,
        )

    def thinned(self, step: int) -> PixelBasis:
        """Every `step`-th vertex of the sample."""
        return replace(
            self,
            detail=self.detail[::step],
            from_base=self.from_base[::step],
            albedo_mean=self.albedo_mean[::step],
            albedo_components=np.ascontiguousarray(self.albedo_components[:, ::step]),
            components=np.ascontiguousarray(self.components[:, :, ::step]),
            normal_components=np.ascontiguousarray(self.normal_components[:, :, ::step]),
        )

    def albedo(self, coefficients: np.ndarray) -> np.ndarray:
        """(A,) coefficients to (N, 3) linear RGB of the sample."""
        flat = self.albedo_components.reshape(len(coefficients), -1)
        value = self.albedo_mean + (coefficients.astype(np.float32) @ flat).reshape(-1, 3)
        return np.exp(value) if self.albedo_is_log else np.maximum(value, 1e-3)


@dataclass(frozen=True, eq=False)
class Appearance:
    """Light and albedo of a face.

    Attributes:
        albedo: (A,) coefficients.
        illumination: (9, 3) spherical harmonics, light frame.
        trust: (N,) weight in [0, 1] of each sampled vertex: 0 unseen or occluded, 1 explained by the model.
    """

    albedo: np.ndarray
    illumination: np.ndarray
    trust: np.ndarray


@dataclass(frozen=True, eq=False)
class Crop:
    """The photograph around a face at the size at which it is read.

    Attributes:
        srgb: (h, w, 3) float32.
        origin_px: (2,) place of its top left corner in the photograph.
        scale: pixels of the crop per pixel of the photograph.
        grey: whether the photograph has no colour; then only luminance is compared.
    """

    srgb: np.ndarray
    origin_px: np.ndarray
    scale: float
    grey: bool

    @classmethod
    def around(cls, image: np.ndarray, landmarks_px: np.ndarray) -> Crop:
        """The crop around landmarks (L, 2) of an image (H, W, 3) sRGB in [0, 1]."""
        import cv2

        low, high = landmarks_px.min(0), landmarks_px.max(0)
        margin = 0.25 * (high - low).max()
        height, width = image.shape[:2]
        x0, y0 = np.clip(np.floor(low - margin), 0, [width - 1, height - 1]).astype(int)
        x1, y1 = np.clip(np.ceil(high + margin), [x0 + 1, y0 + 1], [width, height]).astype(int)
        part = np.ascontiguousarray(image[y0:y1, x0:x1], dtype=np.float32)
        scale = min(1.0, _FACE_PX / max(1.0, (high - low).max()))
        size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
        if scale < 1.0:
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        part = cv2.GaussianBlur(part, (0, 0), 0.7)
        chroma = np.abs(part - part.mean(-1, keepdims=True)).mean()
        return cls(part, np.array([x0, y0]), size[0] / (x1 - x0), bool(chroma < 0.004))

    def sample_with_gradient(self, points_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """sRGB (N, 3) at points (N, 2), and its derivative (N, 3, 2) by x and y in pixels."""
        step = 0.5 / self.scale
        values, _ = self.sample(points_px)
        right, left = self.sample(points_px + [step, 0])[0], self.sample(points_px - [step, 0])[0]
        below, above = self.sample(points_px + [0, step])[0], self.sample(points_px - [0, step])[0]
        return values, np.stack([right - left, below - above], axis=-1) * self.scale

    def sample(self, points_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """sRGB (N, 3) at points (N, 2) of the photograph, and which of them (N,) lie inside it."""
        import cv2

        at = ((points_px - self.origin_px) * self.scale - 0.5).astype(np.float32)
        height, width = self.srgb.shape[:2]
        inside = (at >= -0.5).all(1) & (at <= [width - 0.5, height - 0.5]).all(1)
        values = cv2.remap(self.srgb, at[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        return values, inside


@dataclass(frozen=True, eq=False)
class View:
    """The sampled vertices in one picture.

    Attributes:
        points_px: (N, 2). normals: (N, 3) light frame. camera: (N, 3) mm. seen: (N,) in [0, 1], falling off
            toward the limb.
    """

    points_px: np.ndarray
    normals: np.ndarray
    camera: np.ndarray
    seen: np.ndarray


def view(basis: PixelBasis, geometry: Geometry, principal_px: np.ndarray, crop: Crop) -> View:
    """Where the sampled vertices are, which way they face, and whether the camera sees them."""
    moved = geometry.coefficients.astype(np.float32) @ basis.base_components.reshape(
        len(basis.base_components), -1
    )
    vertices = basis.mean + moved.reshape(basis.mean.shape)
    turned = vertices @ geometry.rotation.T
    normals = basis.from_base @ vertex_normals(turned, basis.triangles, basis.incident)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    base_camera = turned * _FLIP + geometry.translation
    base_px = geometry.focal_px * base_camera[:, :2] / base_camera[:, 2:] + principal_px
    in_crop = np.column_stack([(base_px - crop.origin_px) * crop.scale, base_camera[:, 2]]).astype(np.float32)
    height, width = crop.srgb.shape[:2]
    depth = rasterize(in_crop, basis.triangles, height, width).depth
    camera = basis.from_base @ base_camera
    points_px = geometry.focal_px * camera[:, :2] / camera[:, 2:] + principal_px
    cells = np.floor((points_px - crop.origin_px) * crop.scale).astype(int)
    inside = (cells >= 0).all(1) & (cells < [width, height]).all(1)
    cells = np.clip(cells, 0, [width - 1, height - 1])
    unhidden = camera[:, 2] < depth[cells[:, 1], cells[:, 0]] + 4.0
    ray = camera / np.linalg.norm(camera, axis=1, keepdims=True)
    facing = -(normals * _FLIP * ray).sum(1)
    return View(points_px, normals, camera, np.clip((facing - 0.1) / 0.3, 0, 1) * (inside & unhidden))


def fit_appearance(
    basis: PixelBasis, geometry: Geometry, crop: Crop, seen: View, priors: PixelPriors, iterations: int = 5
) -> Appearance:
    """Light and albedo of a face whose geometry is known: robust maximum a posteriori by Gauss-Newton."""
    values, _ = crop.sample(seen.points_px)
    harmonics = sh_basis(seen.normals)
    state = Appearance(np.zeros(len(basis.albedo_components)), priors.light.mean, seen.seen)
    light_precision = priors.light.precision
    precision = np.concatenate([np.zeros(27), np.full(len(state.albedo), priors.albedo**-2)])
    for _ in range(iterations):
        residual, by_light, by_albedo, _ = linearise_pixels(basis, state, values, harmonics, crop.grey)
        trust = robust_trust(residual, seen.seen, priors)
        weight = np.repeat(trust, residual.shape[1]) / (priors.noise**2 * priors.correlation)
        hessian, gradient = normal_equations(np.concatenate([by_light, by_albedo]), weight, residual.ravel())
        hessian[:27, :27] += light_precision
        gradient[:27] -= light_precision @ (state.illumination - priors.light.mean).ravel()
        hessian[np.diag_indices_from(hessian)] += precision
        gradient -= precision * np.concatenate([np.zeros(27), state.albedo])
        step = np.linalg.solve(hessian, gradient)
        state = Appearance(state.albedo + step[27:], state.illumination + step[:27].reshape(9, 3), trust)
    return state


def linearise_pixels(
    basis: PixelBasis, state: Appearance, values: np.ndarray, harmonics: np.ndarray, grey: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Residuals in sRGB at the sampled vertices and their derivatives.

    Args:
        values: (N, 3) sRGB of the photograph. harmonics: (N, 9).

    Returns:
        residual (N, C) photograph minus model, C = 1 (luminance) for a grey photograph, else 3;
        by_light (27, N C), by_albedo (A, N C) float32;
        by_shading (N, C, 3): derivative by the linear shading of each channel.
    """
    albedo = basis.albedo(state.albedo)
    shading = np.maximum(harmonics @ state.illumination, 1e-3)
    radiance = albedo * shading
    if grey:
        luminance = (radiance @ _LUMINANCE)[:, None]
        residual = values.mean(1, keepdims=True) - linear_to_srgb(luminance)
        mix = _srgb_slope(luminance)[:, :, None] * _LUMINANCE  # (N, 1, 3)
    else:
        residual = values - linear_to_srgb(radiance)
        mix = _srgb_slope(radiance)[:, :, None] * np.eye(3)
    overexposed = (values[:, : residual.shape[1]] > _SATURATED) & (residual < 0)
    residual, mix = np.where(overexposed, 0.0, residual), np.where(overexposed[:, :, None], 0.0, mix)
    by_shading = mix * albedo[:, None, :]
    by_value = mix * (radiance if basis.albedo_is_log else shading)[:, None, :]
    by_light = np.einsum("nk,nci->kinc", harmonics, by_shading).reshape(27, -1)
    if grey:
        by_albedo = np.einsum("anj,nj->an", basis.albedo_components, by_value[:, 0].astype(np.float32))
    else:
        diagonal = np.einsum("ncc->nc", by_value).astype(np.float32)
        by_albedo = (basis.albedo_components * diagonal).reshape(len(basis.albedo_components), -1)
    return residual, by_light.astype(np.float32), by_albedo, by_shading


def robust_trust(residual: np.ndarray, seen: np.ndarray, priors: PixelPriors) -> np.ndarray:
    """(N,) weights in [0, 1]: visibility times Geman and McClure's for the colour residual (N, C)."""
    size = np.sqrt((residual**2).mean(1))
    visible = seen > 0
    spread = 1.48 * np.median(size[visible]) if visible.any() else priors.noise
    scale = 2.0 * np.clip(spread, 0.6 * priors.noise, 1.6 * priors.noise)
    return seen / (1.0 + (size / scale) ** 2) ** 2


def _srgb_slope(linear: np.ndarray) -> np.ndarray:
    """Derivative of the sRGB curve, limited in the shadows where it says little."""
    linear = np.clip(linear, 0.01, 1.5)
    return (1.055 / 2.4) * linear ** (1 / 2.4 - 1)


def _normal_components(
    model: MorphableModel, base_components: np.ndarray, incident: np.ndarray, from_base: sp.csr_array
) -> np.ndarray:
    """(3, K + E, N) derivative of the sample's unit normals by the coefficients, at the mean head."""
    corners = model.identity_mean[model.triangles]
    moves = base_components[:, model.triangles]
    faces = np.cross(moves[:, :, 1] - moves[:, :, 0], corners[:, 2] - corners[:, 0])
    faces += np.cross(corners[:, 1] - corners[:, 0], moves[:, :, 2] - moves[:, :, 0])
    faces = np.concatenate([faces, np.zeros_like(faces[:, :1])], axis=1)
    here = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(np.concatenate([here, here[:1] * 0])[incident].sum(1), axis=1, keepdims=True)
    total = sum(faces[:, column] for column in incident.T) / np.maximum(size, 1e-9)
    normals = from_base @ vertex_normals(model.identity_mean, model.triangles, incident)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    flat = total.transpose(1, 2, 0).reshape(len(model.identity_mean), -1)
    slopes = (from_base @ flat).reshape(len(normals), 3, -1)
    slopes -= normals[:, :, None] * np.einsum("nc,nck->nk", normals, slopes)[:, None]
    return np.ascontiguousarray(slopes.transpose(1, 2, 0), dtype=np.float32)


def _inside_oval(model: MorphableModel, vertices: np.ndarray) -> np.ndarray:
    """Which detail vertices (V_detail, 3) project frontally inside MediaPipe's face oval."""
    import cv2

    embedding = model.landmarks478
    oval = embedding(model.identity_mean)[embedding.contour]
    angle = np.arctan2(oval[:, 1] - oval[:, 1].mean(), oval[:, 0])
    outline = np.ascontiguousarray(oval[np.argsort(angle), :2], dtype=np.float32)
    near = vertices[:, 2] > oval[:, 2].min() - 20
    return near & np.array(
        [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in vertices[:, :2]]
    )
