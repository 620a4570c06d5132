"""The world around a face: background, hair, hats, glasses, hands; and what a camera does to a picture.

Nothing here is in the code: the encoder learns to look past it. All is drawn in the picture, over the
rendering, at the places that the face's landmarks give; no photograph is used.
"""

from __future__ import annotations

import cv2
import numpy as np

from mien.synthesis.textures import COUNT, SIDE, grain, strands, surfaces
from mien.synthesis.world_kernel import lay_over

UPPER_OVAL = (454, 356, 389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162, 127, 234)
"""MediaPipe's face oval from the subject's left ear over the hairline to the right."""

HAIR, GLASSES, HAND, THING = 0.7, 0.2, 0.1, 0.06
"""Share of pictures that have each."""

LOW_RESOLUTION, SMALLEST_FACE_PX = 0.35, 24
"""Share of pictures of small faces, and the smallest width of a face in its own photograph's pixels."""

_SHIFT = 4
"""Fractional bits of OpenCV's drawing coordinates."""


class World:
    """What surrounds some faces, one random world a face.

    Attributes:
        rng: source of chance.
        landmarks_px: (N, 478, 2) where the landmarks truly are.
        size: side of the pictures in pixels.
    """

    def __init__(self, rng: np.random.Generator, landmarks_px: np.ndarray, size: int) -> None:
        self.rng, self.landmarks_px, self.size = rng, landmarks_px, size

    def backgrounds(self) -> np.ndarray:
        """(N, S, S, 3) float32, sRGB in [0, 1]."""
        return np.stack([self._cloth() for _ in self.landmarks_px]) * np.float32(1 / 255)

    def photographed(self, images: np.ndarray, landmarks_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pictures with what is before the face, through a camera; landmarks as they are then detected.

        Args:
            images: (N, S, S, 3) uint8 renderings over `backgrounds`.
            landmarks_px: (N, 478, 2) as detected on a clear picture.
        """
        pictures, seen = np.empty_like(images), landmarks_px.copy()
        for i, image in enumerate(images):
            self._dress(image, self.landmarks_px[i])
            pictures[i], pixel = self._shoot(image)
            seen[i] += self.rng.normal(size=(478, 2)) * 0.15 * (pixel - 1)
        return pictures, seen

    def _cloth(self) -> np.ndarray:
        """(S, S, 3) uint8 piece of a random surface at a random scale."""
        rng = self.rng
        surface = surfaces()[rng.integers(COUNT)]
        side = int(rng.integers(SIDE // 6, SIDE))
        x, y = rng.integers(0, SIDE - side, 2)
        piece = cv2.resize(surface[y : y + side, x : x + side], (self.size, self.size))
        return cv2.flip(piece, int(rng.integers(-1, 2)))

    def _dress(self, image: np.ndarray, points: np.ndarray) -> None:
        """Draws what is before the face into the image."""
        chance = self.rng.random(4)
        if chance[0] < HAIR:
            self._hair(image, points)
        if chance[1] < GLASSES:
            self._glasses(image, points)
        if chance[2] < HAND:
            self._hand(image, points)
        if chance[3] < THING:
            self._thing(image)

    def _hair(self, image: np.ndarray, points: np.ndarray) -> None:
        """Hair or a hat: a cap over the forehead, its sides of any length."""
        rng = self.rng
        line = points[list(UPPER_OVAL)]
        eyes, chin = points[[33, 263]].mean(0), points[152]
        down = chin - eyes
        face = np.linalg.norm(down)
        t = np.linspace(-1, 1, len(line))
        middle = 1 - np.abs(t) ** 2
        fringe = (
            np.clip(rng.normal(0.0, 0.16), -0.2, 0.5)
            + rng.normal() * 0.1 * t
            + rng.normal(size=len(t)) * 0.03
        )
        sides = rng.normal(0.0, 0.10)
        inner = line + (fringe * middle + 0.02)[:, None] * down
        inner -= (sides + rng.normal(size=len(t)) * 0.02)[:, None] * (line - eyes) * (1 - middle)[:, None]
        volume = rng.uniform(0.15, 0.7) + rng.normal(size=len(t)) * 0.03
        outer = line + (line - eyes) * volume[:, None] - down * (0.35 * middle + 0.05)[:, None]
        length = rng.choice([0.0, rng.uniform(0.0, 0.5), rng.uniform(0.5, 2.5)], size=2, p=[0.4, 0.3, 0.3])
        ends = [length[:, None] * down, length[::-1, None] * down]
        outline = np.concatenate(
            [inner[:1] + ends[0][:1], inner, inner[-1:] + ends[0][1:], outer[-1:] + ends[0][1:], outer[::-1],
             outer[:1] + ends[0][:1]]
        )  # fmt: skip
        alpha = self._filled(outline, soft_px=0.3 + 0.03 * face * rng.random())
        if rng.random() < 0.12:
            texture = self._cloth()
        else:
            streaks = strands()[rng.integers(len(strands()))]
            x, y = rng.integers(0, SIDE // 2, 2)
            side = int(rng.integers(SIDE // 4, SIDE // 2))
            streaks = cv2.resize(streaks[y : y + side, x : x + side], (self.size, self.size))
            light = rng.uniform(0.4, 1.6) * (np.arange(256)[:, None] / 128) ** 1.5
            colours = np.clip(light * self._hair_colour(), 0, 255).astype(np.uint8)
            texture = cv2.LUT(cv2.merge([streaks] * 3), colours[None])
        lay_over(image, texture, alpha, 256)

    def _hair_colour(self) -> np.ndarray:
        """(3,) float32: black to blond, red and grey."""
        rng = self.rng
        dark, fair = np.array([22.0, 17.0, 15.0]), np.array([190.0, 155.0, 105.0])
        red, grey = np.array([130.0, 60.0, 30.0]), np.array([165.0, 165.0, 168.0])
        colour = dark + (fair - dark) * rng.beta(0.7, 1.6)
        other, share = (red, rng.beta(1, 4)) if rng.random() < 0.6 else (grey, rng.beta(0.7, 1.2))
        return (colour + (other - colour) * share).astype(np.float32)

    def _glasses(self, image: np.ndarray, points: np.ndarray) -> None:
        """Two lenses of one shape around the eyes, dark ones at times; bridge and temples."""
        rng = self.rng
        across = points[263] - points[33]
        eyes = [points[[33, 133]].mean(0), points[[263, 362]].mean(0)]
        unit = np.linalg.norm(points[152] - points[168]) * 0.2
        if np.linalg.norm(across) < 1.2 * unit:
            return
        across /= np.linalg.norm(across)
        down = np.array([-across[1], across[0]])
        width, height, power = rng.uniform(0.95, 1.4), rng.uniform(0.7, 1.25), rng.uniform(0.45, 1.0)
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        x, y = (np.sign(f(angle)) * np.abs(f(angle)) ** power for f in (np.cos, np.sin))
        drop = rng.uniform(0.0, 0.35) * unit
        dark = rng.random() < 0.3
        lens_colour = rng.uniform(0, 70, 3) if dark else rng.uniform(60, 255, 3)
        opacity = rng.uniform(0.6, 1.0) if dark else rng.uniform(0.0, 0.18)
        # a lens seen from the side is narrow: by as much as the eye is
        widths = [np.linalg.norm(points[a] - points[b]) for a, b in ((33, 133), (263, 362))]
        narrow = np.clip(np.array(widths) / max(widths), 0.3, 1.0) * width * unit
        lenses = [
            eye + drop * down + x[:, None] * n * across + y[:, None] * height * unit * down
            for eye, n in zip(eyes, narrow, strict=True)
        ]
        for lens in lenses:
            tint = np.broadcast_to(lens_colour.astype(np.uint8), image.shape)
            lay_over(image, tint, self._filled(lens, 0.3), int(256 * opacity))
            if rng.random() < 0.3:
                middle = lens.mean(0)
                spot = middle + (lens - middle) * rng.uniform(0.1, 0.5, 2) + rng.normal(size=2) * unit * 0.3
                white = np.broadcast_to(np.uint8(250), image.shape)
                lay_over(image, white, self._filled(spot, 1.0), int(256 * rng.uniform(0.2, 0.9)))
        thickness = max(1, round(unit * rng.uniform(0.04, 0.22)))
        colour = tuple(map(int, rng.uniform(0, 255, 3) * (0.25 if rng.random() < 0.7 else 1.0)))
        right, left = lenses
        inner = (
            right[np.argmax((right - right.mean(0)) @ across)],
            left[np.argmin((left - left.mean(0)) @ across)],
        )
        lines = [(inner[0], inner[1])]
        lines += [
            (lens[np.argmax(sign * (lens - lens.mean(0)) @ across)], points[ear])
            for lens, ear, sign in ((right, 127, -1), (left, 356, 1))
        ]
        for start, end in lines:
            cv2.line(image, _fixed(start), _fixed(end), colour, thickness, cv2.LINE_AA, _SHIFT)
        if rng.random() < 0.85:
            outline = [_fixed(np.round(lens, 3)) for lens in lenses]
            cv2.polylines(image, [np.array(o).reshape(-1, 2) for o in outline], True, colour, thickness,
                          cv2.LINE_AA, _SHIFT)  # fmt: skip

    def _hand(self, image: np.ndarray, points: np.ndarray) -> None:
        """Some fingers from the border to somewhere on the face, in the colour of the skin nearly."""
        rng = self.rng
        unit = np.linalg.norm(points[152] - points[168]) * 0.17
        tip = points[rng.integers(468)] + rng.normal(size=2) * unit
        angle = rng.uniform(-0.9, np.pi + 0.9)
        way = np.array([np.cos(angle), np.sin(angle)])
        aside = np.array([-way[1], way[0]])
        x, y = np.clip(points[rng.choice([50, 280, 205, 425])], 0, self.size - 1).astype(int)
        skin = image[y, x] * rng.uniform(0.6, 1.2) + rng.normal(size=3) * 10
        for k in range(rng.integers(1, 5)):
            thickness = max(2, round(unit * rng.uniform(0.75, 1.1)))
            start = tip + aside * k * unit * 1.05 + way * unit * abs(k - 1.5) * 0.8
            shade = tuple(float(c) for c in np.clip(skin * rng.uniform(0.85, 1.1), 0, 255))
            end = start + way * self.size * 1.5 + aside * rng.normal() * unit
            rim = tuple(0.7 * c for c in shade)
            for colour, width in ((rim, thickness + 1), (shade, thickness)):
                cv2.line(image, _fixed(start), _fixed(end), colour, width, cv2.LINE_AA, _SHIFT)

    def _thing(self, image: np.ndarray) -> None:
        """A textured blob anywhere: a microphone, a cup, a mask, another head."""
        rng = self.rng
        centre, corners = rng.uniform(0, self.size, 2), rng.integers(4, 12)
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = self.size * rng.uniform(0.06, 0.22) * rng.uniform(0.7, 1.3, corners)
        outline = centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        lay_over(image, self._cloth(), self._filled(outline, rng.uniform(0.3, 2)), 256)

    def _shoot(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """The picture through lens, sensor, processing and file; and the width of its real pixels."""
        rng, size = self.rng, self.size
        side = size
        if rng.random() < LOW_RESOLUTION:
            smallest = min(1.0, SMALLEST_FACE_PX / (0.7 * size))
            side = int(size * np.exp(rng.uniform(np.log(smallest), 0)))
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        scale = side / size
        chance = rng.random(6)
        if chance[0] < 0.35:
            image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.6) * scale * size / 112 + 0.05))
        elif chance[0] < 0.42:
            image = cv2.filter2D(image, -1, _motion(rng, max(3, int(rng.uniform(0.03, 0.09) * side))))
        image = cv2.LUT(image, _tone(rng) if chance[1] < 0.7 else _identity())
        if chance[2] < 0.15:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)
        if chance[3] < 0.6:
            x, y = rng.integers(0, 512 - side, 2)
            strength = rng.exponential(0.12)
            image = cv2.addWeighted(
                image, 1.0, grain()[y : y + side, x : x + side], min(strength, 0.6), 0.0, dtype=cv2.CV_8U
            )
        if chance[4] < 0.4:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 96))]
            image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
        if side != size:
            way = cv2.INTER_CUBIC if chance[5] < 0.5 else cv2.INTER_LINEAR
            image = cv2.resize(image, (size, size), interpolation=way)
        return image, size / side

    def _filled(self, outline: np.ndarray, soft_px: float) -> np.ndarray:
        """(S, S) uint8 alpha of a polygon (M, 2), its edge blurred."""
        mask = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(mask, [np.array(_fixed(outline)).reshape(-1, 2)], 255, cv2.LINE_AA, _SHIFT)
        if soft_px > 0.4:
            mask = cv2.GaussianBlur(mask, (0, 0), float(soft_px))
        return mask


def _fixed(points: np.ndarray) -> tuple:
    """Points in the fixed-point form that OpenCV draws with; its pixel centres are at whole numbers."""
    whole = np.round((np.clip(points, -4000, 4000) - 0.5) * 2**_SHIFT).astype(np.int32)
    return tuple(map(int, whole)) if whole.ndim == 1 else tuple(whole)


def _motion(rng: np.random.Generator, length: int) -> np.ndarray:
    kernel = np.zeros((length, length), np.float32)
    angle, middle = rng.uniform(0, np.pi), (length - 1) / 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = (tuple(map(round, middle + sign * reach)) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return kernel / kernel.sum()


def _identity() -> np.ndarray:
    return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)[None]


def _tone(rng: np.random.Generator) -> np.ndarray:
    """(1, 256, 3) uint8 curve: white balance, exposure, contrast, gamma."""
    value = np.linspace(0, 1, 256)[:, None]
    gain = np.exp(rng.normal() * 0.12 + rng.normal(size=3) * 0.05)
    curve = np.clip(value * gain, 0, 1) ** np.exp(rng.normal() * 0.2)
    contrast = np.exp(rng.normal() * 0.15)
    lift = rng.normal() * 0.02
    return np.clip(255 * ((curve - 0.5) * contrast + 0.5 + lift) + 0.5, 0, 255).astype(np.uint8)[None]
