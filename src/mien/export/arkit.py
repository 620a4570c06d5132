"""ARKit's coefficients as a table, in the layout that Epic's Live Link Face records."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from mien.facecode import ARKIT_NAMES, FaceCode

FRAMES_PER_SECOND = 60

EYE_TURN_RADIANS = np.radians([35.0, 35.0, 25.0, 30.0])
"""How far eyeLookIn, Out, Up and Down turn the default model's eyes at coefficient 1."""

_SWAPPED = {
    "jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft",
}  # fmt: skip
"""Where Live Link Face's order is not Apple's."""

LIVE_LINK_NAMES: tuple[str, ...] = tuple(_SWAPPED.get(name, name) for name in ARKIT_NAMES)
"""The 52 in Live Link Face's order."""

ANGLES = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
    "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
)  # fmt: skip
"""Radians: yaw to the person's own left, pitch down, roll with the crown to the person's own right."""


def arkit_csv(codes: Sequence[FaceCode]) -> bytes:
    """One row a face, as one frame after the other.

    Args:
        codes: single faces (no batch axes) of a model whose expression is ARKit's.

    Raises:
        ValueError: a code has other expression coefficients.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in LIVE_LINK_NAMES), *ANGLES]
    )
    for frame, code in enumerate(codes):
        if len(code.expression) != len(ARKIT_NAMES):
            raise ValueError(f"a code of {code.model} has not ARKit's 52 coefficients")
        shown = dict(zip(ARKIT_NAMES, map(float, code.expression), strict=True))
        values = [*(shown[name] for name in LIVE_LINK_NAMES), *head_angles(code), *eye_angles(shown)]
        table.writerow([_timecode(frame), len(values), *(f"{value:.6f}" for value in values)])
    return text.getvalue().encode()


def head_angles(code: FaceCode) -> np.ndarray:
    """(3,) radians yaw, pitch and roll of the head: R = Ry(yaw) Rx(pitch) Rz(roll), model frame."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(code.rotation).as_euler("YXZ")


def eye_angles(shown: dict[str, float]) -> list[float]:
    """Yaw, pitch and roll in radians of the left eye, then of the right, in the head's frame."""
    inward, outward, upward, downward = EYE_TURN_RADIANS
    angles = []
    for side, to_own_left in (("Left", 1.0), ("Right", -1.0)):
        aside = shown[f"eyeLookOut{side}"] * outward - shown[f"eyeLookIn{side}"] * inward
        down = shown[f"eyeLookDown{side}"] * downward - shown[f"eyeLookUp{side}"] * upward
        angles += [to_own_left * aside, down, 0.0]
    return angles


def _timecode(frame: int) -> str:
    """Hours, minutes, seconds and frames, as 00:00:01:07.000."""
    seconds, frames = divmod(frame, FRAMES_PER_SECOND)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{frames:02}.000"
