"""The published models that mien reads: their files, licences, and where to get them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mien.model_files.published import PublishedModel, check_movements


@dataclass(frozen=True)
class Format:
    """A published model.

    Attributes:
        title: its name in full.
        files: as published.
        licence: under which it is.
        home: where it is to be had.
        reader: module and function that read it.
    """

    title: str
    files: str
    licence: str
    home: str
    reader: tuple[str, str]

    def read(self, path: Path) -> PublishedModel:
        """The model in the file or folder `path`.

        Raises:
            mien.errors.BadModelFile: it is not there, not as published, or not whole.
            mien.errors.MissingLibrary: a library that reads it is not installed.
        """
        module, function = self.reader
        model = getattr(import_module(f"mien.model_files.{module}"), function)(path)
        check_movements(path, model)
        return model


_BASEL = "Basel Face Model licence (non-commercial research; registration)"
_FLAME = "https://flame.is.tue.mpg.de"

FORMATS = {
    "bfm2017": Format(
        "Basel Face Model 2017",
        "model2017-1_bfm_nomouth.h5 or model2017-1_face12_nomouth.h5",
        _BASEL,
        "https://faces.dmi.unibas.ch/bfm/bfm2017.html",
        ("bfm_h5", "read_bfm_h5"),
    ),
    "bfm2019": Format(
        "Basel Face Model 2019",
        "model2019_bfm.h5, model2019_face12.h5 or model2019_fullHead.h5",
        _BASEL,
        "https://faces.dmi.unibas.ch/bfm/bfm2019.html",
        ("bfm_h5", "read_bfm_h5"),
    ),
    "bfm2009": Format(
        "Basel Face Model 2009 with the expressions of Guo et al.",
        "a folder of 01_MorphableModel.mat, Exp_Pca.bin, std_exp.txt and BFM_exp_idx.mat",
        f"{_BASEL}; expressions: non-commercial research",
        "https://faces.dmi.unibas.ch/bfm and https://github.com/Juyong/3DFace",
        ("bfm_mat", "read_bfm2009"),
    ),
    "deep3d": Format(
        "Deep3DFaceRecon's cut of the Basel Face Model 2009",
        "BFM_model_front.mat",
        f"{_BASEL}; expressions: non-commercial research",
        "https://github.com/sicxu/Deep3DFaceRecon_pytorch",
        ("bfm_mat", "read_deep3d"),
    ),
    "flame2020": Format(
        "FLAME 2020",
        "generic_model.pkl, or its arrays as npz; FLAME_texture.npz beside it if there is one",
        "FLAME Model licence (non-commercial research; registration)",
        _FLAME,
        ("flame", "read_flame"),
    ),
    "flame2023": Format(
        "FLAME 2023",
        "flame2023.pkl, or its arrays as npz; FLAME_texture.npz beside it if there is one",
        "FLAME Model licence (non-commercial research; registration)",
        _FLAME,
        ("flame", "read_flame"),
    ),
    "flame2023-open": Format(
        "FLAME 2023 Open",
        "flame2023_Open.pkl, or its arrays as npz; FLAME_texture.npz beside it if there is one",
        "CC-BY-4.0",
        _FLAME,
        ("flame", "read_flame"),
    ),
    "ict": Format(
        "ICT-FaceKit, light version",
        "the folder FaceXModel, or a tar archive of it",
        "MIT",
        "https://github.com/ICT-VGL/ICT-FaceKit",
        ("ict", "read_ict"),
    ),
    "surrey": Format(
        "Surrey Face Model, low resolution",
        "a folder of sfm_shape_3448.bin and expression_blendshapes_3448.bin",
        "Apache-2.0 with eos's code; the model: non-commercial use, see eos's share/README",
        "https://github.com/patrikhuber/eos",
        ("eos", "read_surrey"),
    ),
}
