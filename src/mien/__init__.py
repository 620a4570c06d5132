"""mien: one photograph in, a 3D face out, as a short code whose numbers mean something.

The public names are loaded when they are first used; importing mien loads nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.errors import MienError
    from mien.expressions.recognition import Reading, expression
    from mien.facecode import FaceCode
    from mien.facefile import Face, load_face, save_face
    from mien.image import load_image, save_png
    from mien.morphable import MorphableModel, load_model
    from mien.reconstruction import Reconstruction, reconstruct, reopen

_HOME_OF = {
    "Face": "facefile",
    "FaceCode": "facecode",
    "MienError": "errors",
    "MorphableModel": "morphable",
    "Reading": "expressions.recognition",
    "Reconstruction": "reconstruction",
    "expression": "expressions.recognition",
    "load_face": "facefile",
    "load_image": "image",
    "load_model": "morphable",
    "reconstruct": "reconstruction",
    "reopen": "reconstruction",
    "save_face": "facefile",
    "save_png": "image",
}

__all__ = [
    "Face",
    "FaceCode",
    "MienError",
    "MorphableModel",
    "Reading",
    "Reconstruction",
    "expression",
    "load_face",
    "load_image",
    "load_model",
    "reconstruct",
    "reopen",
    "save_face",
    "save_png",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"mien.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
