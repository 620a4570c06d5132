"""Landmarks → the upright square crop that the encoder sees, and its inverse."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 1.25
"""Side of the crop in units of the landmarks' longer extent, along the crop's axes."""

EYE_CORNERS_RIGHT, EYE_CORNERS_LEFT, MOUTH_CORNERS = (33, 133), (362, 263), (61, 291)
"""MediaPipe's numbers, right and left the subject's."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """A square of the picture, turned so that the face in it is upright. Leading batch axes are free.

    Attributes:
        centre_px: (..., 2) its centre in the picture.
        side_px: (...) its side, pixels of the picture.
        roll_radians: (...) angle from the picture's x axis to the crop's, clockwise as seen.
        size: side of the crop in its own pixels.
    """

    centre_px: np.ndarray
    side_px: np.ndarray
    roll_radians: np.ndarray
    size: int

    def to_crop(self, points_px: np.ndarray) -> np.ndarray:
        """(..., N, 2) pixels of the picture to pixels of the crop."""
        scale = (self.size / self.side_px)[..., None, None]
        return (points_px - self.centre_px[..., None, :]) @ self._turn() * scale + self.size / 2

    def to_photo(self, points_px: np.ndarray) -> np.ndarray:
        """Inverse of `to_crop`."""
        scale = (self.side_px / self.size)[..., None, None]
        turned = (points_px - self.size / 2) * scale
        return turned @ np.swapaxes(self._turn(), -1, -2) + self.centre_px[..., None, :]

    def warp(self, image: np.ndarray) -> np.ndarray:
        """The crop of one picture, black beyond the picture's border; shrunk without aliasing.

        A pixel of the crop shows the place that `to_photo` says, to less than a fiftieth of itself, or of a
        pixel of the picture if that is larger: OpenCV 5 is exact, those before round the place where they
        interpolate to the nearest thirty-second of a pixel.

        Args:
            image: (H, W, 3) uint8, or float32 in [0, 1].

        Returns:
            (size, size, 3) of the picture's dtype.
        """
        shrink = max(1, int(self.side_px / self.size))
        corners = np.array([[0.0, 0.0], [self.size, 0.0], [0.0, self.size], [self.size, self.size]])
        square = self.to_photo(corners)
        margin = 2 * shrink
        low = np.maximum(np.floor(square.min(0)) - margin, 0).astype(int)
        high = np.minimum(np.ceil(square.max(0)) + margin, image.shape[1::-1]).astype(int)
        if (high - low < 1).any():
            return np.zeros((self.size, self.size, 3), image.dtype)
        part = image[low[1] : high[1], low[0] : high[0]]
        if shrink > 1:
            whole = np.maximum((high - low) // shrink, 1)
            part = cv2.resize(part, tuple(map(int, whole)), interpolation=cv2.INTER_AREA)
        ratio = (high - low) / part.shape[1::-1]
        # three corners fix the map; OpenCV's pixel centres are at whole numbers
        source = ((square[:3] - low) / ratio - 0.5).astype(np.float32)
        matrix = cv2.getAffineTransform(source, (corners[:3] - 0.5).astype(np.float32))
        return cv2.warpAffine(
            np.ascontiguousarray(part), matrix, (self.size, self.size), flags=cv2.INTER_LINEAR
        )

    def _turn(self) -> np.ndarray:
        """(..., 2, 2) whose columns are the crop's axes in the picture."""
        cosine, sine = np.cos(self.roll_radians), np.sin(self.roll_radians)
        return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)


def align(landmarks_px: np.ndarray, size: int) -> Alignment:
    """The crop for a face: upright by its eyes and mouth, around all its landmarks.

    The x axis is the mean of the line between the eyes and of the normal to the line from eyes to mouth, each
    in its length: in profile, where the first shrinks, the second decides (Karras et al., "Progressive
    growing of GANs", ICLR 2018, appendix C).

    Args:
        landmarks_px: (..., 478, 2 or more) MediaPipe's landmarks in pixels.
        size: side of the crop in its own pixels.

    Raises:
        ValueError: the landmarks are not 478, not finite, or all in one place.
    """
    points = np.asarray(landmarks_px, np.float64)[..., :2]
    if points.shape[-2] != 478 or not np.isfinite(points).all():
        raise ValueError(f"alignment needs 478 finite landmarks, got an array of shape {points.shape}")
    right, left, mouth = (
        points[..., numbers, :].mean(-2) for numbers in (EYE_CORNERS_RIGHT, EYE_CORNERS_LEFT, MOUTH_CORNERS)
    )
    across, down = left - right, mouth - (left + right) / 2
    x = across + np.stack([down[..., 1], -down[..., 0]], -1)
    roll = np.arctan2(x[..., 1], x[..., 0])
    upright = Alignment(np.zeros_like(right), np.ones_like(roll), roll, 1)
    turned = upright.to_crop(points)
    low, high = turned.min(-2), turned.max(-2)
    side = SIDE * (high - low).max(-1)
    if (side <= 0).any():
        raise ValueError("all landmarks are in one place")
    centre = upright.to_photo(((low + high) / 2)[..., None, :])[..., 0, :]
    return Alignment(centre, side, roll, size)
