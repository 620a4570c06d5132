"""The default model's albedo: mean and components of log linear RGB, learned from photographs.

Order of the components: the skin's tone, two undertones, then patterns on the face and the irises' colour by
falling variance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from face_model.albedo_light import LightPrior
from face_model.albedo_patterns import LUMINANCE, Patterns, Zones, light_left, relative_albedo, trust_skin
from face_model.albedo_samples import Samples, sample_photos
from face_model.albedo_statistics import Spectrum, principal_components
from face_model.albedo_surface import (
    Continuation,
    borrow,
    gaussian,
    iris_mask,
    iris_radius,
    paint_inside,
    sharpener,
    vertex_areas,
)
from mien.lighting import sh_basis
from mien.mesh import vertex_normals
from mien.morphable import MorphableModel

EVEN, ODD = 47, 8
"""Symmetric and antisymmetric patterns."""

DARK, MIDDLE, LIGHT = (31.0, 11.0, 13.0), (49.0, 13.5, 19.0), (70.0, 9.5, 15.5)
"""CIELAB (D65) of skin from the darkest to the lightest of the six classes of the individual typology angle.

Source: A. Chardon, I. Cretois, C. Hourseau, "Skin colour typology and suntanning pathways", 1991, for the
angle; S. Del Bino and F. Bernerd, "Variations in skin colour and the biological consequences of ultraviolet
radiation exposure", 2013, for measured skin in its classes (very light above 55°, dark below -30°).
"""

TONE_REACH = 2.5
"""Standard deviations of tone from the middle to `DARK` and to `LIGHT`."""

UNDERTONE_SHARE = 0.5
"""How much of the spread of the photographs' skin colour at equal tone is people's, not white balance."""

MEDIAN_REFLECTANCE = 0.34
"""Luminance of the skin of the median photograph: L* 65, light skin in the typology."""

TONE_SHARE = 0.6
"""How much of the variance of the photographs' log skin luminance is people's, not exposure."""

TONE_PATTERN = 0.6
"""How much of the change of the face's pattern with tone is kept: darker photographs are contrastier too."""

BLUR_MM, SHARPEN = 1.4, 0.8
"""Blur of the photographs on the face, and how much of it is taken back."""

BEARD_GREY, LIPS_QUIET = 0.5, 0.5
"""How much of the colour of beards and of lips is taken back in the components: what beard or lipstick adds
on one side of the mean, a normal distribution takes away on the other."""

IRIS, IRIS_SHADE = (0.100, 0.064, 0.045), 0.35
"""Linear RGB of the mean iris, and how much of its lightness' spread is not shade and glints."""

GLOSS, SHADE = 0.70, 0.35
"""How much of what is brighter or darker than the middle of the mean's bare skin is gloss or shade."""

LOUDEST = 1.1
"""Components together vary at most so much more at a vertex than on the mean of those around it."""

OFF_WHITE = 0.40
"""Photographs whose log skin chroma lies further from the median are not true to colour, and are left out."""

BRIGHTEST = 0.4
"""Log albedo above the skin's median at which the mean is cut: making it crisp overshoots at the corners of
eyes and lips, which few photographs show well."""


def learn_albedo(
    model: MorphableModel, masks: dict[str, np.ndarray], photos_folder: Path, work_folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and components of log albedo for any geometry of the default model.

    Args:
        model: the model, whose albedo is not read.
        masks: of `face_model.regions` for it.
        photos_folder: folder of folders of colour photographs.
        work_folder: where what takes long is kept.

    Returns:
        (V_detail, 3) float32 and (60, V_detail, 3) float32.
    """
    work_folder.mkdir(parents=True, exist_ok=True)
    samples = sample_photos(model, photos_folder, work_folder)
    zones = Zones.of(model, masks, samples.vertices)
    return whole_head(model, masks, zones, learn(model, masks, samples, zones))


@dataclass(frozen=True, eq=False)
class Learned:
    """What P photographs tell of the n vertices of the face that are learned.

    Attributes:
        samples: the photographs. patterns: of them, with the final light.
        face: the n vertices. learned: (n,) their numbers among the sampled.
        coloured: (P,) bool, those of which the statistics are.
        tone: (P,) of the skins.
        base, slope: (n, 3) mean pattern at middle tone, and its change with tone.
        spectrum: of what is left, of the coloured ones.
    """

    samples: Samples
    patterns: Patterns
    face: Face
    learned: np.ndarray
    coloured: np.ndarray
    tone: np.ndarray
    base: np.ndarray
    slope: np.ndarray
    spectrum: Spectrum

    def expected(self) -> np.ndarray:
        """(P, N, 3) float32 log albedo relative to the skin at all sampled vertices, by the statistics."""
        expected = mean_pattern(self.patterns, np.arange(len(self.patterns.relative[0])))
        expected = np.repeat(expected[None], len(self.tone), axis=0)
        toned = self.base + self.tone[:, None, None] * TONE_PATTERN * self.slope
        expected[:, self.learned] = toned
        expected[np.ix_(self.coloured, self.learned)] += self.spectrum.patterns()
        return expected


def learn(model: MorphableModel, masks: dict[str, np.ndarray], samples: Samples, zones: Zones) -> Learned:
    """Divides light out and finds the statistics; then again, now that each face's own pattern is known."""
    patterns = divide_light(samples, zones)
    learned = statistics(model, masks, samples, zones, patterns)
    prior = LightPrior.of(patterns.lights[learned.coloured])
    trust = patterns.weight / np.maximum(samples.seen, 1e-6)
    patterns = relative_albedo(samples, zones, learned.expected(), prior, trust)
    return statistics(model, masks, samples, zones, patterns)


def divide_light(samples: Samples, zones: Zones, rounds: int = 3) -> Patterns:
    """Patterns of all photographs: light, trust and mean in turns."""
    trust = np.ones(samples.seen.shape, np.float32)
    expected = np.zeros((len(samples.vertices), 3), np.float32)
    for _ in range(rounds):
        patterns = relative_albedo(samples, zones, expected, LightPrior.white(), trust)
        expected = mean_pattern(patterns, zones.mirror)
        trust = trust_skin(patterns, zones, expected)
    return replace(patterns, weight=samples.seen * trust)


def mean_pattern(patterns: Patterns, mirror: np.ndarray) -> np.ndarray:
    """(N, 3) float32 symmetric mean of the patterns."""
    weight = patterns.weight
    mean = np.einsum("pn,pnc->nc", weight, patterns.relative) / (weight.sum(0)[:, None] + 1e-3)
    return 0.5 * (mean + mean[mirror])


def statistics(
    model: MorphableModel, masks: dict[str, np.ndarray], samples: Samples, zones: Zones, patterns: Patterns
) -> Learned:
    """Tone, then robust principal components of what tone does not explain."""
    coloured = true_to_colour(patterns)
    tone = tone_of(patterns.skin, patterns.skin[coloured])
    skin_vertex = model.refinement.part[samples.vertices] == model.part_names.index("skin")
    learned = np.flatnonzero((zones.face > 0) & skin_vertex)
    face = Face.of(model, masks, samples.vertices[learned], zones, learned)
    weight = patterns.weight[np.ix_(coloured, learned)]
    rest = patterns.relative[np.ix_(coloured, learned)]
    balance = tone_balance(tone[coloured])
    base, slope = face.regression(rest, weight * balance[:, None], tone[coloured])
    rest -= (base + tone[coloured, None, None] * TONE_PATTERN * slope).astype(np.float32)
    rest -= light_left(rest, weight * face.bare, face.harmonics)
    spectrum = principal_components(rest, weight, face.area, face.mirror, balance, (EVEN, ODD))
    return Learned(samples, patterns, face, learned, coloured, tone, base, slope, spectrum)


def whole_head(
    model: MorphableModel, masks: dict[str, np.ndarray], zones: Zones, learned: Learned
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and components of `learn_albedo` from what the photographs tell."""
    face, spectrum, mirror = learned.face, learned.spectrum, model.refinement.mirror
    seen = learned.patterns.weight[np.ix_(learned.coloured, learned.learned)].mean(0)
    coverage = np.clip((0.5 * (seen + seen[face.mirror]) - 0.15) / 0.4, 0.0, 1.0)
    known = np.zeros(len(mirror))
    known[face.vertices] = zones.face[learned.learned] * coverage
    forehead = np.zeros(len(mirror), bool)
    forehead[learned.samples.vertices] = zones.forehead
    continuation = Continuation(model, known, forehead)

    def whole(values: np.ndarray) -> np.ndarray:
        """(..., n, 3) values on the learned vertices, made crisp, to (..., V_detail, 3)."""
        every = np.zeros((len(mirror), values.size // len(face.vertices)))
        crisp = values + coverage[:, None] * (face.crisp(values) - values)
        every[face.vertices] = np.moveaxis(crisp, -2, 0).reshape(len(face.vertices), -1)
        filled = continuation(every).reshape(len(mirror), *values.shape[:-2], 3)
        return np.moveaxis(filled, 0, -2)

    outer_skin = ((model.refinement.part == 0) * (1.0 - masks["inside_mouth"]))[:, None]
    middle, per_tone = skin_locus()
    iris, iris_components = iris_colours(model, learned)
    pattern = learned.base + spectrum.mean
    pattern = pattern - light_left(pattern[None], face.bare[None], face.harmonics, ridge=1e-4)[0]
    pattern = face.without_gloss(pattern)
    mean = paint_inside(model, middle + whole(pattern), masks, iris)
    skin = outer_skin[:, 0] > 0
    mean[skin] = np.minimum(mean[skin], np.median(mean[skin], axis=0) + BRIGHTEST)
    skins, tone = learned.patterns.skin[learned.coloured], learned.tone[learned.coloured]
    components = np.concatenate([
        (per_tone + whole(TONE_PATTERN * learned.slope))[None] * outer_skin,
        undertones_of(skins, tone)[:, None] * outer_skin,
        whole(face.quiet(spectrum.components)) * outer_skin,
        iris_components,
    ])  # fmt: skip
    sign = np.concatenate([np.ones(3), spectrum.sign, np.ones(2)])[:, None, None]
    components = 0.5 * (components + sign * components[:, mirror])
    return (0.5 * (mean + mean[mirror])).astype(np.float32), components.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Face:
    """What is known of the n vertices whose albedo is learned.

    Attributes:
        vertices: (n,) detail vertices. mirror: (n,) partners among the n.
        area: (n,) mm² that count. bare: (n,) float32 weight in finding left-over light.
        harmonics: (n, 9) of the mean head's normals; lips, lids and brows have those of the skin around them.
        sharpen, surroundings: (n, n) matrices, the second the mean over a few millimetres.
        beard, lips: (n, 1) in [0, 1].
    """

    vertices: np.ndarray
    mirror: np.ndarray
    area: np.ndarray
    bare: np.ndarray
    harmonics: np.ndarray
    sharpen: Any
    surroundings: Any
    beard: np.ndarray
    lips: np.ndarray

    @classmethod
    def of(cls, model, masks, vertices, zones, learned) -> Face:
        number = np.full(len(model.refinement.part), -1)
        number[vertices] = np.arange(len(vertices))
        mean = model.refinement(model.identity_mean).astype(np.float64)
        normals = vertex_normals(mean, model.refinement.triangles)[vertices]
        bare = np.where(zones.bare[learned], 1.0, 0.2 * masks["beard"][vertices]).astype(np.float32)
        return cls(
            vertices=vertices,
            mirror=number[model.refinement.mirror[vertices]],
            area=vertex_areas(model)[vertices] * zones.face[learned],
            bare=bare,
            harmonics=borrow(mean[vertices], bare > 0.1) @ sh_basis(normals),
            sharpen=sharpener(mean[vertices], BLUR_MM, SHARPEN),
            surroundings=gaussian(mean[vertices], 4.0),
            beard=masks["beard"][vertices][:, None],
            lips=masks["lips"][vertices][:, None],
        )

    def crisp(self, values: np.ndarray) -> np.ndarray:
        """(..., n, 3) values with the photographs' blur taken back in luminance."""
        grey = values.mean(-1, keepdims=True)
        columns = np.moveaxis(grey[..., 0], -1, 0).reshape(len(self.vertices), -1)
        sharp = np.moveaxis((self.sharpen @ columns).reshape(len(self.vertices), *values.shape[:-2]), 0, -1)
        return sharp[..., None] + values - grey

    def without_gloss(self, mean: np.ndarray) -> np.ndarray:
        """(n, 3) mean pattern whose bare skin is hardly brighter anywhere than in the middle."""
        grey = mean @ LUMINANCE
        bare = self.surroundings @ (self.bare > 0.5)
        above = grey - np.median(grey[self.bare > 0.5])
        taken = np.where(above > 0, above * GLOSS, above * SHADE)
        return mean - (bare * taken)[:, None]

    def quiet(self, components: np.ndarray) -> np.ndarray:
        """(K, n, 3) components with less colour on beards and lips, and none louder than those around it."""
        loudness = np.sqrt((components**2).sum((0, 2)))
        allowed = LOUDEST * (self.surroundings @ loudness)
        components = components * np.minimum(1.0, allowed / (loudness + 1e-6))[:, None]
        grey = components.mean(-1, keepdims=True)
        kept = (1.0 - BEARD_GREY * self.beard) * (1.0 - LIPS_QUIET * self.lips)
        return grey * (1.0 - 0.5 * LIPS_QUIET * self.lips) + (components - grey) * kept

    def regression(self, values, weight, by) -> tuple[np.ndarray, np.ndarray]:
        """Symmetric intercept and slope (n, 3) of values (P, n, 3) by a number (P,), free of light."""
        fields = []
        for field in _regression(values, weight, by):
            field = 0.5 * (field + field[self.mirror])
            fields.append(field - light_left(field[None], self.bare[None], self.harmonics)[0])
        return fields[0], fields[1]


def true_to_colour(patterns: Patterns) -> np.ndarray:
    """(P,) bool: photographs of faces, in natural colours."""
    chroma = np.diff(patterns.skin, axis=1)
    natural = np.linalg.norm(chroma - np.median(chroma, axis=0), axis=1) < OFF_WHITE
    return natural & (patterns.weight.mean(1) > 0.5 * np.median(patterns.weight.mean(1)))


def skin_locus() -> tuple[np.ndarray, np.ndarray]:
    """(3,) log linear RGB of skin of middle tone, and (3,) its change per standard deviation of tone."""
    dark, middle, light = (np.log(lab_to_linear(np.array(lab))) for lab in (DARK, MIDDLE, LIGHT))
    per_tone = (light - dark) / (2 * TONE_REACH)
    centre = 0.5 * (light + dark)
    beside = middle - centre - per_tone * ((middle - centre) @ LUMINANCE) / (per_tone @ LUMINANCE)
    return centre + 0.5 * beside, per_tone


def tone_of(skin: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P,) most probable tone of skins (P, 3) of log radiance; the median of the `others` is light skin."""
    middle, per_tone = skin_locus()
    median = (np.log(MEDIAN_REFLECTANCE) - middle @ LUMINANCE) / (per_tone @ LUMINANCE)
    tone = median + TONE_SHARE * ((skin - np.median(others, axis=0)) @ LUMINANCE) / (per_tone @ LUMINANCE)
    return np.clip(tone, -3.0, 3.0)


def tone_balance(tone: np.ndarray) -> np.ndarray:
    """(P,) weights that make all tones count more alike: the inverse of their density, at most 5-fold."""
    density = np.exp(-0.5 * ((tone[:, None] - tone[None]) / 0.3) ** 2).mean(1)
    weight = 1.0 / density
    return np.clip(weight / weight.min(), 1.0, 5.0)


def undertones_of(skin: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """(2, 3) log colour per standard deviation of the two ways skins of one tone differ."""
    design = np.c_[np.ones(len(tone)), tone]
    rest = skin - design @ np.linalg.lstsq(design, skin, rcond=None)[0]
    rest -= (rest @ LUMINANCE)[:, None]
    rest = np.clip(rest, *np.percentile(rest, [2, 98], axis=0))
    values, vectors = np.linalg.eigh(np.cov(rest.T))
    return UNDERTONE_SHARE * np.sqrt(values[:0:-1])[:, None] * vectors[:, :0:-1].T


def iris_colours(model: MorphableModel, learned: Learned) -> tuple[np.ndarray, np.ndarray]:
    """Mean (3,) log colour of irises, and (2, V_detail, 3) components: lightness, and brown to blue.

    Of the ring between pupil and limbus, where the photograph shows it.
    """
    radius, _ = iris_radius(model)
    ring = np.flatnonzero(((radius > 3.0) & (radius < 5.2))[learned.samples.vertices])
    weight = learned.patterns.weight[np.ix_(learned.coloured, ring)][..., None]
    shown = weight.sum((1, 2)) > 5.0
    relative = learned.patterns.relative[np.ix_(learned.coloured, ring)]
    colour = (relative * weight)[shown].sum(1) / weight[shown].sum(1)
    middle, per_tone = skin_locus()
    colour += middle + learned.tone[learned.coloured][shown, None] * per_tone
    colour = np.clip(colour, *np.percentile(colour, [3, 97], axis=0))
    values, vectors = np.linalg.eigh(np.cov(colour.T))
    directions = np.sqrt(values[:0:-1])[:, None] * vectors[:, :0:-1].T
    directions *= np.array([[IRIS_SHADE], [1.0]]) * np.sign(directions[:, 2:])
    return np.log(IRIS), directions[:, None, :] * iris_mask(radius)[:, None]


def lab_to_linear(lab: np.ndarray) -> np.ndarray:
    """(3,) CIELAB under D65 to (3,) linear RGB with the primaries of sRGB."""
    f = (lab[0] + 16.0) / 116.0 + np.array([lab[1] / 500.0, 0.0, -lab[2] / 200.0])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.95047, 1.0, 1.08883]
    to_rgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    return to_rgb @ xyz


def _regression(values: np.ndarray, weight: np.ndarray, by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercept and slope (N, 3) of values (P, N, 3) by a number (P,), weighted (P, N), a little ridge."""
    moments = [np.einsum("pn,p->n", weight, by**k) for k in range(3)]
    sums = [np.einsum("pn,p,pnc->nc", weight, by**k, values) for k in range(2)]
    moments[0], moments[2] = moments[0] + 1.0, moments[2] + 10.0
    determinant = (moments[0] * moments[2] - moments[1] ** 2)[:, None]
    slope = (moments[0][:, None] * sums[1] - moments[1][:, None] * sums[0]) / determinant
    intercept = (moments[2][:, None] * sums[0] - moments[1][:, None] * sums[1]) / determinant
    return intercept, slope
