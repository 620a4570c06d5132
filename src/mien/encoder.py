"""A crop and its landmarks → the face code in the crop's camera, by a network that ONNX Runtime runs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from mien import assets
from mien.errors import BadAsset
from mien.facecode import FaceCode

PACKAGED = "encoder.onnx"
"""The packaged encoder, preset `small`."""


class Encoder:
    """A trained encoder, loaded once; `mien export-encoder` writes its file.

    Attributes:
        model: name and version of the morphable model that its codes belong to.
        size: side of its crops in pixels.
        preset: whose crops it reads, as in `mien.synthesis.Recipe`.
    """

    def __init__(self, file: Path | None = None, threads: int = 1) -> None:
        """Loads an encoder.

        Args:
            file: an ONNX file of `mien export-encoder`; the packaged one if not given.
            threads: that ONNX Runtime may use.

        Raises:
            BadAsset: the file is missing, altered, or no encoder of mien's.
        """
        import onnxruntime

        file = file or assets.path(PACKAGED)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                file.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            facts = self._session.get_modelmeta().custom_metadata_map
            self.model, self.size = facts["model"], int(facts["size"])
            self.preset = json.loads(facts["config"])["recipe"].get("preset", "mien")
        except OSError as error:
            raise BadAsset(f"{file}: cannot be read ({error.strerror})") from error
        except Exception as error:  # ONNX Runtime has no common class of errors
            reason = str(error).splitlines()[0]
            raise BadAsset(
                f"{file}: is no encoder of mien's ({reason}); `mien export-encoder` writes one"
            ) from error
        self._inputs = {given.name for given in self._session.get_inputs()}
        self._outputs = [given.name for given in self._session.get_outputs()]

    def __call__(self, crops: np.ndarray, landmarks_px: np.ndarray) -> FaceCode:
        """The codes of some crops.

        Args:
            crops: (N, size, size, 3) uint8 sRGB.
            landmarks_px: (N, 478, 2) MediaPipe's landmarks, pixels of the crop.

        Returns:
            N codes, float64, in the crop's camera: principal point in the crop's centre.

        Raises:
            ValueError: the crops are of another size or type.
        """
        if crops.shape[1:] != (self.size, self.size, 3) or crops.dtype != np.uint8:
            expected = f"(N, {self.size}, {self.size}, 3) uint8"
            raise ValueError(f"crops are {crops.shape} {crops.dtype}, must be {expected}")
        given = {"image": crops, "landmarks": (landmarks_px / self.size * 2 - 1).astype(np.float32)}
        values = self._session.run(None, {name: given[name] for name in self._inputs})
        parts = {name: value.astype(np.float64) for name, value in zip(self._outputs, values, strict=True)}
        return FaceCode(
            identity=parts["identity"],
            expression=parts["expression"],
            albedo=parts["albedo"],
            rotation=_axis_angle(parts["rotation"]),
            translation=parts["translation"],
            illumination=parts["illumination"],
            focal_px=parts["focal"] * self.size,
            model=self.model,
        )


@cache
def packaged_encoder() -> Encoder:
    """The packaged encoder, kept for the life of the process."""
    return Encoder()


def _axis_angle(matrices: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations to (N, 3) radians."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices).as_rotvec()
