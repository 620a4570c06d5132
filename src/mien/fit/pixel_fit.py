"""Light and albedo from pixels: robust least squares over visible skin.

Pixels are read where vertices of the detail mesh fall in the photograph, so that the model's prediction at a
vertex needs no rasteriser and its derivatives are the components themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mien.facecode import FaceCode
from mien.fit.landmark_fit import Geometry
from mien.fit.least_squares import Linearisation, bounded_step
from mien.fit.priors import PixelPriors
from mien.image import linear_to_srgb, srgb_to_linear
from mien.lighting import sh_basis
from mien.mesh import incident_triangles, normalize, triangle_normals, vertex_normals
from mien.morphable import MorphableModel
from mien.raster import rasterize

_FLIP = np.array([1.0, -1.0, -1.0])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
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
        albedo_mean: (3, N) float32. albedo_components: (A, 3, N) float32.
        albedo_is_log, albedo_is_srgb: as the model's.
        components: (6, K + E, N) float32, identity before expression: mm of the vertices, then the derivative
            of their unit normals at the mean head.
        mean: (V, 3) float32 mm. base_components: (K + E, 3 V) float32 mm.
        triangles: (T, 3).
    """

    detail: np.ndarray
    from_base: sp.csr_array
    albedo_mean: np.ndarray
    albedo_components: np.ndarray
    albedo_is_log: bool
    albedo_is_srgb: bool
    components: np.ndarray
    mean: np.ndarray
    base_components: np.ndarray
    triangles: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel, count: int = 800, seed: int = 0) -> PixelBasis:
        """`count` skin vertices inside MediaPipe's face oval, drawn by area, and all that lies under them."""
        refine = sp.eye_array(len(model.identity_mean), format="csr")
        for pairs in model.refinement.levels:
            number = refine.shape[0]
            rows = np.repeat(np.arange(len(pairs)), 2)
            average = sp.csr_array(
                (np.full(rows.size, 0.5), (rows, pairs.ravel())), shape=(len(pairs), number)
            )
            refine = sp.vstack([refine, average @ refine], format="csr")
        vertices = refine @ model.identity_mean
        inside = _inside_oval(model, vertices)
        skin = inside & (model.refinement.part == model.part_names.index("skin"))
        candidates = np.flatnonzero(skin)
        share = _areas(vertices, model.refinement.triangles)[candidates]
        chosen = np.sort(
            np.random.default_rng(seed).choice(
                candidates, min(count, len(candidates)), replace=False, p=share / share.sum()
            )
        )
        from_base = refine[chosen]
        base_components = np.concatenate([model.identity_components, model.expression_components])
        flat = base_components.transpose(1, 2, 0).reshape(len(model.identity_mean), -1)
        components = (from_base @ flat).reshape(len(chosen), 3, -1).transpose(1, 2, 0)
        slopes = _normal_components(model, base_components, from_base)
        return cls(
            detail=chosen,
            from_base=from_base.astype(np.float32),
            albedo_mean=np.ascontiguousarray(model.albedo_mean[chosen].T, dtype=np.float32),
            albedo_components=np.ascontiguousarray(model.albedo_components[:, chosen].transpose(0, 2, 1)),
            albedo_is_log=model.albedo_is_log,
            albedo_is_srgb=model.albedo_is_srgb,
            components=np.ascontiguousarray(np.concatenate([components, slopes]), dtype=np.float32),
            mean=model.identity_mean,
            base_components=base_components.reshape(len(base_components), -1),
            triangles=model.triangles,
        )

    def albedo(self, coefficients: np.ndarray) -> np.ndarray:
        """(A,) coefficients to (3, N) linear RGB of the sample."""
        flat = self.albedo_components.reshape(len(coefficients), -1)
        value = self.albedo_mean + (coefficients.astype(np.float32) @ flat).reshape(3, -1)
        if self.albedo_is_srgb:
            return srgb_to_linear(np.clip(value, 0.02, 1.0))
        return np.exp(value) if self.albedo_is_log else np.maximum(value, 1e-3)

    def by_value(self, albedo: np.ndarray) -> np.ndarray | float:
        """Derivative of linear albedo (3, N) by what the components add up to."""
        if self.albedo_is_srgb:
            return 1.0 / _srgb_slope(albedo)
        return albedo if self.albedo_is_log else 1.0


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

    @classmethod
    def of(cls, code: FaceCode) -> Appearance:
        """The appearance of one face's code; which pixels show it is not known yet."""
        return cls(code.albedo.astype(np.float64), code.illumination.astype(np.float64), np.zeros(0))

    def advance(self, step: np.ndarray, trust: np.ndarray) -> Appearance:
        """The appearance after a step over light (27) and albedo (A)."""
        return Appearance(self.albedo + step[27:], self.illumination + step[:27].reshape(9, 3), trust)


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

    def sample(self, points_px: np.ndarray) -> np.ndarray:
        """sRGB (C, N) at points (N, 2) of the photograph: C = 1, the mean of the channels, if it is grey."""
        import cv2

        at = ((points_px - self.origin_px) * self.scale - 0.5).astype(np.float32)
        values = cv2.remap(self.srgb, at[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        return values.mean(1)[None] if self.grey else values.T

    def sample_with_gradient(self, points_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """sRGB (C, N) at points (N, 2), and its derivative (2, C, N) by x and y in pixels."""
        step = 0.5 / self.scale * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
        values = self.sample((points_px + step[:, None]).reshape(-1, 2))
        here, right, left, below, above = np.split(values, 5, axis=1)
        return here, np.stack([right - left, below - above]) * np.float32(self.scale)


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


@dataclass(frozen=True, eq=False)
class PixelEvidence:
    """The pixels of one face, and what is assumed about them, its light and its albedo.

    Attributes:
        basis: of the model.
        crop: the photograph around the face.
        principal_px: (2,) principal point of the photograph.
        priors: assumptions.
        expected: (A,) of the prior: albedo.
    """

    basis: PixelBasis
    crop: Crop
    principal_px: np.ndarray
    priors: PixelPriors
    expected: np.ndarray

    def view(self, geometry: Geometry) -> View:
        """Where the sampled vertices are, which way they face, and whether the camera sees them."""
        basis, crop = self.basis, self.crop
        moved = geometry.coefficients.astype(np.float32) @ basis.base_components
        vertices = basis.mean + moved.reshape(basis.mean.shape)
        turned = vertices @ geometry.rotation.T.astype(np.float32)
        normals = normalize(basis.from_base @ vertex_normals(turned, basis.triangles)).astype(np.float64)
        base_camera = turned * _FLIP + geometry.translation
        camera = basis.from_base @ base_camera
        base_px, points_px = (
            geometry.focal_px * points[:, :2] / points[:, 2:] + self.principal_px
            for points in (base_camera, camera)
        )
        in_crop = np.column_stack([(base_px - crop.origin_px) * crop.scale, base_camera[:, 2]])
        height, width = crop.srgb.shape[:2]
        depth = rasterize(in_crop, basis.triangles, height, width).depth
        cells = np.floor((points_px - crop.origin_px) * crop.scale).astype(int)
        inside = (cells >= 0).all(1) & (cells < [width, height]).all(1)
        cells = np.clip(cells, 0, [width - 1, height - 1])
        unhidden = camera[:, 2] < depth[cells[:, 1], cells[:, 0]] + 4.0
        ray = camera / np.linalg.norm(camera, axis=1, keepdims=True)
        facing = -(normals * _FLIP * ray).sum(1)
        return View(points_px, normals, camera, np.clip((facing - 0.1) / 0.3, 0, 1) * (inside & unhidden))

    @property
    def start(self) -> Appearance:
        """The most usual light on the expected albedo."""
        return Appearance(self.expected, self.priors.light.mean, np.zeros(0))

    def fit(self, seen: View, state: Appearance, iterations: int) -> Appearance:
        """Light and albedo of a face whose geometry is known: robust maximum a posteriori by Gauss-Newton."""
        values, harmonics = self.crop.sample(seen.points_px), sh_basis(seen.normals).T
        for _ in range(iterations):
            slopes = linearise_pixels(self.basis, state, values, harmonics)
            trust = robust_trust(slopes.residual, seen.seen, self.priors)
            scale = self.scale(trust)
            jacobian = np.concatenate([slopes.by_light, slopes.by_albedo]) * scale
            found = Linearisation(
                jacobian.reshape(len(jacobian), -1),
                (slopes.residual * scale).ravel(),
                np.broadcast_to(scale, slopes.residual.shape).ravel(),
            )
            hessian, gradient = found.normal_equations()
            self.add_prior(hessian, gradient, state)
            state = state.advance(bounded_step(hessian, gradient, np.zeros(0), np.zeros(0)), trust)
        return state

    def scale(self, trust: np.ndarray) -> np.ndarray:
        """(N,) float32, one over the standard deviation of a pixel that is trusted so far (N,)."""
        variance = self.priors.noise**2 * self.priors.correlation
        return np.sqrt(trust / variance).astype(np.float32)

    def add_prior(self, hessian: np.ndarray, gradient: np.ndarray, state: Appearance) -> None:
        """Adds that of light and albedo to normal equations that begin with them, in place."""
        precision, end = self.priors.light.precision, 27 + len(state.albedo)
        hessian[:27, :27] += precision
        gradient[:27] -= precision @ (state.illumination - self.priors.light.mean).ravel()
        hessian[range(27, end), range(27, end)] += self.priors.albedo**-2
        gradient[27:end] -= self.priors.albedo**-2 * (state.albedo - self.expected)


@dataclass(frozen=True, eq=False)
class PixelSlopes:
    """Residuals in sRGB at the sampled vertices and their derivatives by what colours them.

    C = 1 (luminance) for a grey photograph, else 3.

    Attributes:
        residual: (C, N) photograph minus model.
        by_light: (27, C, N), by_albedo: (A, C, N) float32.
        by_shading: (3, N) derivative by the linear shading of each colour: of that colour's residual, or of
            the only one.
    """

    residual: np.ndarray
    by_light: np.ndarray
    by_albedo: np.ndarray
    by_shading: np.ndarray


def linearise_pixels(
    basis: PixelBasis, state: Appearance, values: np.ndarray, harmonics: np.ndarray
) -> PixelSlopes:
    """The model's picture of the sampled vertices beside the photograph's.

    Args:
        values: (C, N) sRGB of the photograph. harmonics: (9, N).
    """
    grey = len(values) == 1
    albedo = basis.albedo(state.albedo)
    harmonics = harmonics.astype(np.float32)
    shading = np.maximum(state.illumination.T.astype(np.float32) @ harmonics, np.float32(1e-3))
    radiance = albedo * shading
    shown = _LUMINANCE[None] @ radiance if grey else radiance
    residual = values - linear_to_srgb(shown)
    slope = _srgb_slope(shown)
    overexposed = (values > _SATURATED) & (residual < 0)
    residual[overexposed], slope[overexposed] = 0, 0
    mix = slope * _LUMINANCE[:, None] if grey else slope
    by_shading = mix * albedo
    by_value = mix * shading * basis.by_value(albedo)
    by_light = np.zeros((9, 3, *residual.shape), np.float32)
    for colour in range(3):
        by_light[:, colour, 0 if grey else colour] = harmonics * by_shading[colour]
    by_albedo = basis.albedo_components * by_value
    if grey:
        by_albedo = by_albedo.sum(1, keepdims=True)
    return PixelSlopes(residual, by_light.reshape(27, *residual.shape), by_albedo, by_shading)


def robust_trust(residual: np.ndarray, seen: np.ndarray, priors: PixelPriors) -> np.ndarray:
    """(N,) weights in [0, 1]: visibility times Geman and McClure's for the colour residual (C, N)."""
    size = np.sqrt((residual**2).mean(0))
    visible = seen > 0
    spread = 1.48 * np.median(size[visible]) if visible.any() else priors.noise
    scale = 2.0 * np.clip(spread, 0.6 * priors.noise, 1.6 * priors.noise)
    return seen / (1.0 + (size / scale) ** 2) ** 2


def _srgb_slope(linear: np.ndarray) -> np.ndarray:
    """Derivative of the sRGB curve, limited in the shadows where it says little."""
    linear = np.clip(linear, 0.01, 1.5)
    return (1.055 / 2.4) * linear ** (1 / 2.4 - 1)


def _normal_components(
    model: MorphableModel, base_components: np.ndarray, from_base: sp.csr_array
) -> np.ndarray:
    """(3, K + E, N) derivative of the sample's unit normals by the coefficients, at the mean head."""
    used = np.unique(from_base.indices)
    near = np.isin(model.triangles, used).any(axis=1)
    around, corners = np.unique(model.triangles[near], return_inverse=True)
    corners, mean = corners.reshape(-1, 3), model.identity_mean[around]
    moves = base_components[:, around][:, corners]
    at = mean[corners]
    faces = np.cross(moves[:, :, 1] - moves[:, :, 0], at[:, 2] - at[:, 0])
    faces += np.cross(at[:, 1] - at[:, 0], moves[:, :, 2] - moves[:, :, 0])
    faces = np.concatenate([faces, np.zeros_like(faces[:, :1])], axis=1)
    here = np.cross(at[:, 1] - at[:, 0], at[:, 2] - at[:, 0])
    incident = incident_triangles(corners, len(around))
    size = np.linalg.norm(np.concatenate([here, here[:1] * 0])[incident].sum(1), axis=1, keepdims=True)
    total = sum(faces[:, column] for column in incident.T) / np.maximum(size, 1e-9)
    sampled = from_base[:, around]
    normals = sampled @ vertex_normals(mean, corners, incident)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    flat = total.transpose(1, 2, 0).reshape(len(around), -1)
    slopes = (sampled @ flat).reshape(len(normals), 3, -1)
    slopes -= normals[:, :, None] * np.einsum("nc,nck->nk", normals, slopes)[:, None]
    return slopes.transpose(1, 2, 0)


def _areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) mm², a third of the triangles around each vertex."""
    area = np.linalg.norm(triangle_normals(vertices, triangles), axis=1) / 6
    return np.bincount(triangles.ravel(), np.repeat(area, 3), len(vertices))


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
