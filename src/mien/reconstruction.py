"""The pipeline from photograph to faces as one readable function, and what can be done with a face."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mien.errors import UnreadableInput
from mien.facefile import Face, face_bytes, load_face, model_id
from mien.files import write_together
from mien.image import focal_px_from_exif, linear_to_srgb, load_image, png_bytes, srgb_to_linear
from mien.morphable import MorphableModel, load_model

if TYPE_CHECKING:
    from mien.camera import Camera
    from mien.detect import DetectedFace, Detector
    from mien.encoder import Encoder
    from mien.expressions.recognition import Reading
    from mien.facecode import FaceCode
    from mien.mesh import Mesh
    from mien.render import Rendering

Format = Literal["glb", "obj", "ply"]
TextureMode = Literal["photo", "albedo"]


def reconstruct(
    image: np.ndarray | str | os.PathLike,
    *,
    model: str | MorphableModel = "anny",
    max_faces: int = 8,
    refine: bool = True,
    detector: Detector | None = None,
    encoder: Encoder | None = None,
) -> list[Reconstruction]:
    """The faces of a photograph in 3D, largest first; an empty list where there is none.

    A pure function of its arguments that can be sent to other processes; what it loads (model, detector) is
    kept for the life of the process.

    Args:
        image: a picture file, or (H, W, 3) float, sRGB in [0, 1].
        model: the name of a model, packaged or added, or a model.
        max_faces: how many faces are reconstructed at most.
        refine: whether the encoder's code is refined against landmarks and pixels; otherwise the network's
            word is final. An added model starts from the network's code for the default model, converted; a
            model without correspondence to that is always fitted.
        detector: to use in place of the process's own.
        encoder: to use in place of the packaged one.

    Raises:
        mien.errors.UnreadableInput: the file is no readable picture.
        mien.errors.BadAsset: a packaged file is missing or altered, or no model has that name.
        mien.errors.MissingLibrary: a system library that the detector needs is not installed.
        ValueError: the array is not such a picture, or the encoder reads crops of another preset.
    """
    if encoder is not None and encoder.preset != "mien":
        raise ValueError(f"the encoder reads crops of the preset {encoder.preset}, not of detected faces")
    source_file, focal_px = "", None
    if isinstance(image, str | os.PathLike):
        source_file, focal_px = os.fspath(image), focal_px_from_exif(image)
        image = load_image(image)
    elif image.ndim != 3 or image.shape[2] != 3 or image.dtype.kind != "f":
        raise ValueError(f"image is {image.shape} {image.dtype}, must be (H, W, 3) float in [0, 1]")
    if isinstance(model, str):
        model = load_model(model)
    if detector is None:
        from mien.detect import detect_faces

        detected = detect_faces(image, max_faces)
    else:
        detected = detector.detect(image, max_faces)
    if encoder is None:
        from mien.encoder import packaged_encoder

        encoder = packaged_encoder()
    return [
        _reconstruct_face(image, face, model, encoder, refine, focal_px, source_file) for face in detected
    ]


def _reconstruct_face(
    image: np.ndarray,
    detected: DetectedFace,
    model: MorphableModel,
    encoder: Encoder,
    refine: bool,
    focal_px: float | None,
    source_file: str,
) -> Reconstruction:
    from mien.conversion import convert
    from mien.crop_camera import encode_face
    from mien.fit import fit_face
    from mien.landmarks import LandmarkPoints, place_landmarks

    height, width = image.shape[:2]
    principal_px = np.array([width / 2, height / 2])
    code = None
    if encoder.model == model.id or model.correspondence is not None:
        code = encode_face(encoder, image, detected.landmarks_px, focal_px)
    if encoder.model != model.id and code is not None:
        code = convert(code, load_model(encoder.model.split("/")[0]), model).code
    if refine or code is None:
        code = fit_face(model, detected.landmarks_px, image, focal_px=focal_px, start=code).code
    landmarks68_px = place_landmarks(
        LandmarkPoints.of(model.landmarks68, model.identity_mean),
        model.vertices(code.identity.astype(np.float32), code.expression.astype(np.float32)),
        code.rotation,
        code.translation,
        float(code.focal_px),
        principal_px,
    )[:, :2]
    face = Face(
        code=code,
        principal_px=principal_px,
        image_size=(width, height),
        source_file=source_file,
        box_px=np.asarray(detected.box_px, np.float64),
        landmarks68_px=landmarks68_px,
        expression=_reading(code, model),
    )
    return Reconstruction(face, model, image, landmarks_px=detected.landmarks_px[:, :2])


def _reading(code: FaceCode, model: MorphableModel) -> Reading | None:
    """What the packaged recogniser reads in a code of the default model, or of one that corresponds to it."""
    from mien.conversion import in_default_model
    from mien.expressions.recognition import expression, packaged_recogniser

    code = in_default_model(code, model)
    return expression(code) if code.model == packaged_recogniser().model else None


def reopen(path: str | os.PathLike, *, model: str | MorphableModel | None = None) -> Reconstruction:
    """The face of a `.face.json`, with its photograph if that is still where it was.

    Args:
        path: the file.
        model: the model that the code must be of, or its name; the one that the file names if not given.

    Raises:
        mien.errors.UnreadableInput: the file is missing or cannot be read.
        mien.errors.BadFaceFile: it is no face file, or of another model.
        mien.errors.BadAsset: no model at hand has that name.
    """
    if model is None:
        model = model_id(Path(path)).split("/")[0]
    model = load_model(model) if isinstance(model, str) else model
    face = load_face(Path(path), model)
    try:
        image = load_image(face.source_file)
    except UnreadableInput:
        image = None
    is_the_photo = image is not None and image.shape[1::-1] == face.image_size
    return Reconstruction(face, model, image if is_the_photo else None)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A face of a photograph in 3D.

    Attributes:
        face: its code, camera and place in the photograph: what a `.face.json` holds.
        model: the morphable model of its code.
        image: (H, W, 3) float32 the photograph, sRGB in [0, 1]; None where it is not at hand.
        shown: the code that the photograph shows, where `face.code` is an edited one.
        landmarks_px: (478, 2) MediaPipe's landmarks as detected; None where the face was reopened.
    """

    face: Face
    model: MorphableModel
    image: np.ndarray | None = None
    shown: FaceCode | None = None
    landmarks_px: np.ndarray | None = None

    @property
    def code(self) -> FaceCode:
        """What the face is made of."""
        return self.face.code

    @property
    def blendshapes(self) -> dict[str, float]:
        """The expression by name: ARKit's 52 coefficients in [0, 1] for the default model."""
        return dict(zip(self.model.expression_names, map(float, self.code.expression), strict=True))

    @property
    def camera(self) -> Camera:
        """The photograph's camera."""
        from mien.camera import Camera

        return Camera(self.code.focal_px, self.face.principal_px, self.face.image_size)

    @property
    def mesh(self) -> Mesh:
        """The head with its expression: (V, 3) millimetres, model frame, pose left out."""
        from mien.mesh import Mesh

        vertices = self.model.vertices(self.code.identity, self.code.expression)
        return Mesh(vertices.astype(np.float32), self.model.triangles)

    def edited(self, code: FaceCode) -> Reconstruction:
        """The same face with another code, such as the functions of `mien.edit` make.

        What the photograph shows is remembered, so that `picture` can change it.
        """
        return replace(self, face=replace(self.face, code=code, expression=None), shown=self.photographed)

    @property
    def photographed(self) -> FaceCode:
        """The code that the photograph shows, whatever has been edited since."""
        return self.shown or self.code

    def with_expression(
        self, name: str, strength: float = 1.0, *, exaggerate: bool = False
    ) -> Reconstruction:
        """The same face with one of the seven expressions: `face.with_expression("happiness", 0.8)`.

        Raises:
            ValueError: no such expression, or a strength outside [0, 1] without `exaggerate`.
        """
        from mien.edit import with_expression

        return self.edited(with_expression(self.model, self.code, {name: strength}, exaggerate))

    def with_blendshapes(self, *, exaggerate: bool = False, **coefficients: float) -> Reconstruction:
        """The same face doing something else: `face.with_blendshapes(jawOpen=0.5)`; all others stay.

        Raises:
            ValueError: the model has no such expression, or the coefficient is outside its bounds without
                `exaggerate`.
        """
        from mien.edit import with_coefficients

        return self.edited(with_coefficients(self.model, self.code, coefficients, exaggerate))

    def with_expression_of(self, source: Reconstruction) -> Reconstruction:
        """The same face doing what another does, of whichever model; it keeps looking where it looks."""
        from mien.conversion import convert
        from mien.edit import with_expression_of

        shown = convert(source.code, source.model, self.model).code
        return self.edited(with_expression_of(self.model, self.code, shown))

    def with_traits(self, **strengths: float) -> Reconstruction:
        """Other colours, in standard deviations: `face.with_traits(stubble=1)`; `mien.traits.TRAITS`."""
        from mien.edit import with_traits

        return self.edited(with_traits(self.model, self.code, strengths))

    def lit(self, light: str | Reconstruction) -> Reconstruction:
        """The same face lit from one of `mien.edit.LIGHTS`, or in the light of another face."""
        from mien.edit import lit, with_light_of

        code = lit(self.code, light) if isinstance(light, str) else with_light_of(self.code, light.code)
        return self.edited(code)

    def turned(
        self, yaw_degrees: float = 0.0, pitch_degrees: float = 0.0, roll_degrees: float = 0.0
    ) -> Reconstruction:
        """The same face turned to its own left, down, and its crown to the left of the picture."""
        from mien.edit import turned

        return self.edited(turned(self.code, yaw_degrees, pitch_degrees, roll_degrees))

    def neutral(self) -> Reconstruction:
        """The same face doing nothing."""
        return self.edited(self.code.with_(expression=np.zeros_like(self.code.expression)))

    def picture(self) -> np.ndarray:
        """(H, W, 3) sRGB: the photograph with the edited face in it; unedited, the photograph itself.

        Raises:
            ValueError: the photograph is not at hand.
        """
        from mien.composite import composite
        from mien.creases import deepened
        from mien.detect import find_again

        if self.image is None:
            raise ValueError("the photograph is not at hand; `render` draws the face alone")
        landmarks_px = self.landmarks_px
        if landmarks_px is None:
            landmarks_px = find_again(self.image, self.face.box_px)
        before, after = self.photographed, self.code
        darker = deepened(self.model, np.asarray(before.expression), np.asarray(after.expression))
        return composite(self.model, before, after, self.image, self.camera, landmarks_px, darker)

    def cut_out(self) -> np.ndarray:
        """(H, W, 4) sRGB and opacity: the head alone, cut from `picture`; drawn where there is no photo."""
        drawn = self.render()
        image = drawn.image if self.image is None else self.picture()
        return np.concatenate([image, drawn.mask[..., None]], axis=-1)

    def render(self, supersample: int = 2, background: np.ndarray | None = None) -> Rendering:
        """The face as the photograph's camera sees it, in the photograph's light and size.

        Args:
            supersample: samples per pixel along each axis.
            background: (H, W, 3) or (3,), sRGB in [0, 1]; black if not given.
        """
        from mien.render import render

        return render(
            self.model,
            self.code,
            self.face.image_size,
            self.face.principal_px,
            supersample=supersample,
            background=background,
        )

    def portrait(self, height: int = 512, yaw_degrees: float = 0.0) -> np.ndarray:
        """(height, 0.8 height, 3) sRGB: the face from the front in studio light, its expression kept."""
        from mien.overlay import portrait

        return portrait(self.model, self.code, height, yaw_degrees)

    def overlay(self, height: int = 512) -> np.ndarray:
        """(height, W, 3) sRGB: photograph, geometry, reconstruction and neutral portrait side by side."""
        from mien.overlay import overlay

        return overlay(self.model, self.face, self.image, height)

    def texture(self, mode: TextureMode = "photo", size: int = 1024) -> np.ndarray:
        """(size, size, 3) sRGB in the model's texture coordinates.

        Args:
            mode: "photo" for the photograph's own pixels and light, "albedo" with the light divided out.
                Without a photograph the model's own albedo is drawn in either mode.
            size: in texels.
        """
        from mien.texture import albedo_texture, project_texture

        if self.image is None:
            return albedo_texture(self.model, self.code, size)
        seen = project_texture(self.model, self.photographed, self.image, self.camera, size, mode)
        if np.array_equal(self.code.albedo, self.photographed.albedo):
            return seen
        own, before = (
            srgb_to_linear(albedo_texture(self.model, code, size)) for code in (self.code, self.photographed)
        )
        return linear_to_srgb(np.minimum(srgb_to_linear(seen) * own / before, 1.0))

    def files(
        self, stem: str = "face", *, formats: Sequence[Format] = ("glb",), texture: TextureMode = "photo"
    ) -> dict[str, bytes]:
        """What `save` writes, by name; the `.face.json` last."""
        from mien.export.glb import glb_bytes
        from mien.export.obj import obj_files
        from mien.export.ply import ply_bytes

        files = {f"{stem}.overlay.png": png_bytes(self.overlay())}
        colours = self.texture(texture) if {"glb", "obj"} & set(formats) else None
        if "glb" in formats:
            files[f"{stem}.glb"] = glb_bytes(self.model, self.code, colours)
        if "obj" in formats:
            files |= obj_files(stem, self.model, self.code, colours)
        if "ply" in formats:
            files[f"{stem}.ply"] = ply_bytes(self.model, self.code)
        files[f"{stem}.face.json"] = face_bytes(self.face)
        return files

    def save(
        self,
        folder: str | os.PathLike = ".",
        stem: str = "face",
        *,
        formats: Sequence[Format] = ("glb",),
        texture: TextureMode = "photo",
    ) -> list[Path]:
        """Writes `stem.face.json`, `stem.overlay.png` and the 3D files: all of them or none, each whole.

        Args:
            folder: made if it is not there.
            stem: what the files' names begin with.
            formats: of the 3D files.
            texture: as in `texture`.

        Returns:
            the files written; last the `.face.json`, whose presence says that all others are there.

        Raises:
            mien.errors.CannotWrite: no permission, no space, or a folder has the name of a file.
        """
        return write_together(Path(folder), self.files(stem, formats=formats, texture=texture))
