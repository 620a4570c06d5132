"""The face code, the contract between the photo half and the model half: short, frozen, and what it means."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from array_api_compat import array_namespace

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose",
    "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
    "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)  # fmt: skip
"""Apple's 52 blendshape names in the order of ARFaceAnchor.BlendShapeLocation's documentation."""


@dataclass(frozen=True)
class CodeLayout:
    """How many numbers each part of a code has, in the order of the vector.

    Attributes:
        identity, expression, albedo: number of coefficients of that part.
    """

    identity: int
    expression: int
    albedo: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each part of one code, in the order of the vector."""
        return {
            "identity": (self.identity,),
            "expression": (self.expression,),
            "albedo": (self.albedo,),
            "rotation": (3,),
            "translation": (3,),
            "illumination": (9, 3),
            "focal_px": (),
        }

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.identity + self.expression + self.albedo + 3 + 3 + 27 + 1


@dataclass(frozen=True, eq=False)
class FaceCode:
    """What one face is made of. NumPy or torch; leading batch axes are free. See docs/conventions.md.

    Attributes:
        identity: (..., K_identity) unit-variance components of the head's shape.
        expression: (..., K_expression) ARKit coefficients in [0, 1] (default model) or unit-variance ones.
        albedo: (..., K_albedo) unit-variance components of the skin's colour.
        rotation: (..., 3) axis-angle, radians, model frame; zero looks into the camera.
        translation: (..., 3) millimetres, camera frame.
        illumination: (..., 9, 3) spherical harmonics of irradiance / pi, linear RGB, light frame.
        focal_px: (...) focal length in pixels.
        model: name and version of the morphable model that the numbers belong to, as "anny/1".
    """

    identity: Any
    expression: Any
    albedo: Any
    rotation: Any
    translation: Any
    illumination: Any
    focal_px: Any
    model: str

    @property
    def layout(self) -> CodeLayout:
        """Lengths of the parts."""
        return CodeLayout(self.identity.shape[-1], self.expression.shape[-1], self.albedo.shape[-1])

    def to_vector(self) -> Any:
        """All parts as one vector (..., layout.size), in the order of `CodeLayout.shapes`."""
        xp = array_namespace(self.identity)
        batch = self.identity.shape[:-1]
        parts = [xp.reshape(xp.asarray(getattr(self, name)), (*batch, -1)) for name in self.layout.shapes]
        return xp.concat(parts, axis=-1)

    @classmethod
    def from_vector(cls, vector: Any, layout: CodeLayout, model: str) -> FaceCode:
        """Inverse of `to_vector`.

        Args:
            vector: (..., layout.size) array.
            layout: lengths of the parts.
            model: name and version of the morphable model.

        Raises:
            ValueError: the vector's last axis is not `layout.size` long.
        """
        if vector.shape[-1] != layout.size:
            raise ValueError(f"vector has {vector.shape[-1]} numbers, a code of {model} has {layout.size}")
        xp = array_namespace(vector)
        parts, start = {}, 0
        for name, shape in layout.shapes.items():
            length = 1
            for n in shape:
                length *= n
            parts[name] = xp.reshape(vector[..., start : start + length], (*vector.shape[:-1], *shape))
            start += length
        return cls(**parts, model=model)

    def with_(self, **parts: Any) -> FaceCode:
        """A copy with some parts replaced: `code.with_(rotation=np.zeros(3))`."""
        return replace(self, **parts)

    def __getitem__(self, index: Any) -> FaceCode:
        """One face, or some faces, of a batch."""
        return FaceCode(
            **{f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "model"},
            model=self.model,
        )
