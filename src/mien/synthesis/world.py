"""The world around a face: background, hair, hats, glasses, hands; and what a camera does to a picture.

Nothing here is in the code: the encoder learns to look past it. All is drawn in the picture, over the
rendering, at the places that the face's landmarks give; no photograph is used.
"""

from __future__ import annotations

import cv2
import numpy as np

from mien.synthesis.textures import COUNT, SIDE, grain, strands, surfaces
from mien.synthesis.world_kernel import develop, lay_over

UPPER_OVAL = (454, 356, 389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162, 127, 234)
"""MediaPipe's face oval from the subject's left ear over the hairline to the right."""

HAIR, GLASSES, HAND, THING = 0.7, 0.2, 0.1, 0.06
"""Share of pictures that have each."""

LOW_RESOLUTION, SMALLEST_FACE_PX = 0.45, 24
"""Share of pictures of small faces, and the smallest width of a face in its own photograph's pixels."""

GREY_PICTURES = 0.25
"""Share of grey pictures, as most that were collected for the study of expressions are."""

_IDENTITY = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)

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

    def backgrounds(self, count: int) -> np.ndarray:
        """(count, S, S, 3) float32, sRGB in [0, 1]: of the next faces."""
        return np.stack([self._cloth() for _ in range(count)]) * np.float32(1 / 255)

    def photographed(
        self, images: np.ndarray, landmarks_px: np.ndarray, dressed: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """The pictures with what is before the face, through a camera; landmarks as they are then detected.

        Args:
            images: (N, S, S, 3) uint8 renderings over `backgrounds`.
            landmarks_px: (N, 478, 2) as detected on a clear picture.
            dressed: whether anything is drawn before the face.
        """
        pictures, seen = np.empty_like(images), landmarks_px.copy()
        for i, image in enumerate(images):
            x, y = np.clip(self.landmarks_px[i], 0, self.size - 1).astype(int).T
            brightness = float(image[y, x].mean()) / 255
            if dressed:
                self._dress(image, self.landmarks_px[i])
            pictures[i], pixel = self._shoot(image, brightness)
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
        soft_px = 0.3 + 0.03 * face * rng.random()
        texture = self._cloth() if rng.random() < 0.12 else self._strands(eyes - 1.1 * down, face)
        self._lay(image, outline, texture, soft_px)

    def _strands(self, crown: np.ndarray, face: float) -> np.ndarray:
        """(S, S, 3) uint8 hair that falls from a crown (2,) over a head with a face of that length."""
        rng = self.rng
        streaks = strands()[rng.integers(len(strands()))]
        light = rng.uniform(0.4, 1.6) * (np.arange(256)[:, None] / 128) ** 1.5
        colours = np.clip(light * self._hair_colour(), 0, 255).astype(np.uint8)
        scale = SIDE / (rng.uniform(2.8, 4.5) * face)
        parting = crown + rng.normal(size=2) * [0.35 * face, 0.05 * face]
        turn = scale * np.array([[rng.choice([-1.0, 1.0]), rng.normal() * 0.1], [0.0, 1.0]])
        place = np.concatenate([turn, ([[SIDE / 2], [0.0]] - turn @ parting[:, None])], axis=1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = self.size, self.size
        fallen = cv2.warpAffine(streaks, place, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
        return cv2.LUT(cv2.merge([fallen] * 3), colours[None])

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
            self._lay(image, lens, lens_colour.astype(np.uint8), 0.3, opacity)
            if rng.random() < 0.3:
                middle = lens.mean(0)
                spot = middle + (lens - middle) * rng.uniform(0.1, 0.5, 2) + rng.normal(size=2) * unit * 0.3
                self._lay(image, spot, np.uint8(250), 1.0, rng.uniform(0.2, 0.9))
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
            _line(image, start, end, colour, thickness)
        if rng.random() < 0.85:
            outlines = [_fixed(lens) for lens in lenses]
            cv2.polylines(image, outlines, True, colour, thickness, cv2.LINE_AA, _SHIFT)

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
        count, width = rng.integers(1, 5), unit * rng.uniform(0.75, 1.1)
        tips = [tip + aside * k * width * 1.05 + way * unit * abs(k - 1.5) * 0.6 for k in range(count)]
        knuckles = [t + way * unit * rng.uniform(3.0, 3.6) + aside * rng.normal() * 0.2 * unit for t in tips]
        if count > 1:
            sides = np.array([knuckles[0] - aside * width * 0.55, knuckles[-1] + aside * width * 0.55])
            palm = np.concatenate([sides, sides[::-1] + way * unit * 4.5])
            wrist, elbow = palm.mean(0), palm.mean(0) + way * 2 * self.size
            arm = np.concatenate(
                [wrist + aside * unit * [[-1.4], [1.4]], elbow + aside * unit * [[1.8], [-1.8]]]
            )
            for outline in (arm, palm):
                self._lay(image, outline, np.clip(skin * 0.92, 0, 255).astype(np.uint8), 0.12 * unit)
        # round: dark rims, a lighter middle; a nail
        for shade, share in ((0.7, 1.1), (0.95, 0.95), (1.06, 0.45)):
            colour = tuple(float(c) for c in np.clip(skin * shade, 0, 255))
            for start, end in zip(tips, knuckles, strict=True):
                _line(image, start, end, colour, width * share)
        nail = tuple(float(c) for c in np.clip(skin * 1.1 + 22, 0, 255))
        for start in tips if rng.random() < 0.6 else ():
            _line(image, start - way * width * 0.1, start + way * width * 0.2, nail, width * 0.5)

    def _thing(self, image: np.ndarray) -> None:
        """A textured blob anywhere: a microphone, a cup, a mask, another head."""
        rng = self.rng
        centre, corners = rng.uniform(0, self.size, 2), rng.integers(4, 12)
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = self.size * rng.uniform(0.06, 0.22) * rng.uniform(0.7, 1.3, corners)
        outline = centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        self._lay(image, outline, self._cloth(), rng.uniform(0.3, 2))

    def _shoot(self, image: np.ndarray, brightness: float) -> tuple[np.ndarray, float]:
        """The picture through lens, sensor, processing and file; and the width of its real pixels.

        `brightness` is the mean of the face in [0, 1]: it stays, so that the light in the code stays true.
        """
        rng, size = self.rng, self.size
        side = size
        if rng.random() < LOW_RESOLUTION:
            smallest = min(1.0, SMALLEST_FACE_PX / (0.7 * size))
            side = int(size * np.exp(rng.uniform(np.log(smallest), 0)))
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        scale = side / size
        chance = rng.random(6)
        if chance[0] < 0.35:
            image = _softened(image, rng.uniform(0.3, 1.6) * scale * size / 112 + 0.05)
        elif chance[0] < 0.42:
            # half the length twice: OpenCV's filter is fast to 11 pixels
            line = _motion(rng, max(3, int(rng.uniform(0.015, 0.045) * side)))
            image = cv2.filter2D(cv2.filter2D(image, -1, line), -1, line)
        curve = _tone(rng, brightness) if chance[1] < 0.7 else _IDENTITY
        if chance[2] < GREY_PICTURES:
            grey = cv2.cvtColor(cv2.LUT(image, curve[None]), cv2.COLOR_RGB2GRAY)
            image, curve = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), _IDENTITY
        strength = min(rng.exponential(0.12), 0.6) if chance[3] < 0.6 else 0.0
        if strength or curve is not _IDENTITY:
            x, y = rng.integers(0, len(grain()) - side, 2)
            image = develop(image, curve, grain()[y : y + side, x : x + side], int(256 * strength))
        if chance[4] < 0.4:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 96))]
            file = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
            image = cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        if side != size:
            way = cv2.INTER_CUBIC if chance[5] < 0.5 else cv2.INTER_LINEAR
            image = cv2.resize(image, (size, size), interpolation=way)
        return image, size / side

    def _lay(
        self, image: np.ndarray, outline: np.ndarray, colour: np.ndarray, soft_px: float, opacity: float = 1.0
    ) -> None:
        """Lays a colour, or a picture (S, S, 3), over a polygon (M, 2) of the image, its edge blurred."""
        margin = 2 + 3 * soft_px
        left, top = np.clip(outline.min(0) - margin, 0, self.size).astype(int)
        right, bottom = np.clip(np.ceil(outline.max(0) + margin), 0, self.size).astype(int)
        if left >= right or top >= bottom:
            return
        box = np.s_[top:bottom, left:right]
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [_fixed(outline - [left, top])], 255, cv2.LINE_AA, _SHIFT)
        if soft_px > 0.4:
            mask = _softened(mask, soft_px)
        lay_over(image[box], np.broadcast_to(colour, image.shape)[box], mask, int(256 * opacity))


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points in the fixed-point form that OpenCV draws with; its pixel centres are at whole numbers."""
    return np.rint((np.clip(points, -4000, 4000) - 0.5) * 2**_SHIFT).astype(np.int32)


def _line(
    image: np.ndarray, start: np.ndarray, end: np.ndarray, colour: tuple[float, ...], width: float
) -> None:
    """Draws a line with round ends, at least a pixel wide."""
    first, last = _fixed(np.stack([start, end])).tolist()
    cv2.line(image, first, last, colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _softened(picture: np.ndarray, sigma_px: float) -> np.ndarray:
    """A Gaussian blur; where it is wide, two box filters of nearly the same deviation, whatever its width."""
    if sigma_px < 1.2:
        return cv2.GaussianBlur(picture, (0, 0), float(sigma_px))
    # a box of odd width w has the variance (w² - 1) / 12
    width = np.sqrt(6 * sigma_px**2 + 1)
    narrow = int((width - 1) // 2) * 2 + 1
    wide = narrow if width - narrow < 1 else narrow + 2
    return cv2.blur(cv2.blur(picture, (narrow, narrow)), (wide, wide))


def _motion(rng: np.random.Generator, length: int) -> np.ndarray:
    """(length, length) float32 filter: a line through the middle."""
    kernel = np.zeros((length, length), np.float32)
    angle, middle = rng.uniform(0, np.pi), (length - 1) / 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = (tuple(map(round, middle + sign * reach)) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return kernel / kernel.sum()


def _tone(rng: np.random.Generator, pivot: float) -> np.ndarray:
    """(256, 3) uint8 curve: gamma and contrast, which leave the pivot as it is; exposure is the light's."""
    value = np.linspace(0, 1, 256)
    pivot = max(pivot, 0.05)
    curve = pivot * (value / pivot) ** np.exp(rng.normal() * 0.15)
    curve = (curve - pivot) * np.exp(rng.normal() * 0.12) + pivot + rng.normal() * 0.01
    return np.repeat(np.clip(255 * curve + 0.5, 0, 255).astype(np.uint8)[:, None], 3, axis=1)
