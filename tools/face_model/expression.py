"""ARKit's 52 actions on our topology: ICT's shapes where it has them, the package's for the tongue."""

from __future__ import annotations

import numpy as np

from face_model.anny_head import PART_NAMES, AnnyHead
from face_model.contacts import Seam, lids_clear_of_eyeballs
from face_model.registration import Registration, transfer
from mien.camera import rotation_matrix
from mien.facecode import ARKIT_NAMES
from mien.model_files.published import PublishedModel
from mien.surface import fit_sphere, mirrored, similarity

LOOK_DEGREES = {"Up": 25.0, "Down": 30.0, "In": 35.0, "Out": 35.0}
"""How far the eyeballs turn at coefficient 1."""
TONGUE_STRENGTH = 1.3
"""The package's tongue comes out this much further, well past the lips of a half open mouth."""
BROW_LOWERING = 2.5
"""Brows come down and together this much further than ICT's, by 4.9 and 7.5 mm: with ICT's, angry faces are
taken for neutral ones (docs/face_model.md)."""
LID_REACH_MM = 5.0
"""How far from the lids' edge the skin follows when closed lids are made to meet."""


def build_expression(head: AnnyHead, ict: PublishedModel, registration: Registration) -> np.ndarray:
    """(52, V, 3) mm: displacement of each ARKit action at coefficient 1, in ARKit's order."""
    shapes = {
        name: ict.expression[of_action > 0].sum(axis=0)
        for name, of_action in zip(ARKIT_NAMES, ict.from_arkit.T, strict=True)
        if of_action.any()
    }
    moved = transfer(np.stack(list(shapes.values())), ict, registration, head)
    shapes = dict(zip(shapes, moved, strict=True))
    region = (head.part == 0) & (head.mask("face") > 0.5)
    scale, rotation, _ = similarity(head.rest[region], registration.vertices[region])
    own = list(head.action_names)
    shapes["tongueOut"] = TONGUE_STRENGTH * scale * head.actions[own.index("tongueOut")] @ rotation.T
    for name in ARKIT_NAMES:
        if name.startswith("eyeLook"):
            shapes[name] = _without_eyeballs(shapes[name], head)
            shapes[name] += look(name, registration, head)
        else:
            shapes[name] = _without_eyeballs(shapes[name], head)
    for name in ("browDownLeft", "browDownRight"):
        shapes[name] *= BROW_LOWERING
    lids = Seam(head, registration.vertices, head.lid_ring, LID_REACH_MM, upper=0.85)
    for name in ("eyeBlinkLeft", "eyeLookDownLeft"):
        shape = _symmetric(shapes, name, head)
        if name == "eyeBlinkLeft":
            shape = lids.closed(shape, lids.gap(registration.vertices + shape))
        shapes[name] = lids_clear_of_eyeballs(shape, head, registration.vertices)
        shapes[name.replace("Left", "Right")] = mirrored(shapes[name], head.mirror)
    return np.stack([_symmetric(shapes, name, head) for name in ARKIT_NAMES])


def look(name: str, registration: Registration, head: AnnyHead) -> np.ndarray:
    """(V, 3) linear displacement that turns one eyeball about its centre.

    The chord of the turn, R(angle) x - x: exact at coefficients 0 and 1, and shrinking the ball by at most
    1 - cos(angle / 2) between, 5 % at 35 degrees.
    """
    side = "left" if name.endswith("Left") else "right"
    direction = name.removeprefix("eyeLook").removesuffix("Left").removesuffix("Right")
    outward = 1.0 if side == "left" else -1.0
    axis = {"Up": [-1, 0, 0], "Down": [1, 0, 0], "Out": [0, outward, 0], "In": [0, -outward, 0]}[direction]
    turn = rotation_matrix(np.radians(LOOK_DEGREES[direction]) * np.array(axis, np.float64))
    here = head.part == PART_NAMES.index(f"eye_{side}")
    arm = registration.vertices[here] - fit_sphere(registration.vertices[here])[0]
    field = np.zeros_like(registration.vertices)
    field[here] = arm @ turn.T - arm
    return field


def _without_eyeballs(field: np.ndarray, head: AnnyHead) -> np.ndarray:
    return np.where(np.isin(head.part, (1, 2))[:, None], 0.0, field)


def _symmetric(shapes: dict[str, np.ndarray], name: str, head: AnnyHead) -> np.ndarray:
    """The mean of the shape and its partner's mirror image."""
    partner = name
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            partner = name.removesuffix(side) + other
    return 0.5 * (shapes[name] + mirrored(shapes[partner], head.mirror))
