"""What the packaged encoder loses and gains with numbers of 8 bits.

OMP_NUM_THREADS=1 python benchmarks/encoder_int8.py FOLDER --out int8

Three ways, each for some parts of the network. Static: ONNX Runtime's arithmetic of 8 bits (QDQ, weights by
channel), whose ranges of activations are measured on pictures that no training saw. Dynamic: the same for
linear layers, with ranges measured anew in each call. Stored: only the weights, by channel, widened when the
file is loaded, as the packaged file does with 16 bits. What is left keeps weights of 16 bits. Norms and casts
are folded before. Times are medians of one core's processor time for one crop, interleaved. FOLDER keeps the
photographs' crops and the quantised files.

Ranges by entropy are left out: with ONNX Runtime's bins they are the least and the greatest, to the byte.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from accuracy_common import show
from mien import assets
from mien.encoder import PACKAGED, Encoder
from mien.evaluation.encoders import draw, vertex_distances
from mien.evaluation.report import Report
from mien.facecode import FaceCode
from mien.morphable import load_model
from mien.synthesis import BLOCK, Pictures, Recipe
from mien.training.bootstrap import judge_codes
from mien.training.crop_code import landmarks_in_crop
from mien.training.export import halve
from recipe import kept_judges

CALIBRATION_SEED = 0xCA11_B8A7
"""Of the pictures on which ranges are measured: neither a training's nor that of `HELD_OUT_SEED`."""
CALIBRATION_BLOCKS = 4
_LARGE = 4096  # numbers of a weight from which on it is stored in 8 bits

PARTS = {
    "stem": "/network/backbone/conv_stem",
    "backbone": "/network/backbone/",
    "landmarks": "/network/landmarks/",
    "colours": "/network/colours/",
    "details": "/network/details/",
    "hidden": "/network/hidden/",
    "heads": "/network/heads/",
}
"""What the names of a part's nodes begin with; the first that fits counts."""
_ALL = tuple(PARTS)
_BUT_LANDMARKS = ("stem", "backbone", "colours", "details", "hidden", "heads")
_BUT_HEADS = _BUT_LANDMARKS[:-1]


@dataclass(frozen=True)
class Variant:
    """Which parts get 8 bits, and how.

    Attributes:
        static, dynamic, stored: names of `PARTS`.
        method: how ranges of activations are told.
    """

    static: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    method: CalibrationMethod = CalibrationMethod.MinMax


VARIANTS: dict[str, Variant | None] = {
    "as packaged": None,
    "stored": Variant(stored=_ALL),
    "stored, but landmarks": Variant(stored=_BUT_LANDMARKS),
    "dynamic": Variant(dynamic=_ALL),
    "dynamic, but landmarks": Variant(dynamic=_BUT_LANDMARKS),
    "static": Variant(static=_ALL),
    "static, percentiles": Variant(static=_ALL, method=CalibrationMethod.Percentile),
    "static, but landmarks": Variant(static=_BUT_LANDMARKS),
    "static, but landmarks and heads": Variant(static=_BUT_HEADS),
    "static, but landmarks, heads and stem": Variant(static=_BUT_HEADS[1:]),
    "static backbone": Variant(static=("stem", "backbone")),
    "dynamic, but landmarks; stored convolutions": Variant(
        dynamic=_BUT_LANDMARKS, stored=("stem", "backbone", "details")
    ),
    "dynamic, but landmarks; static backbone but stem": Variant(
        static=("backbone",), dynamic=_BUT_LANDMARKS[2:]
    ),
}


def main() -> None:
    options = _options()
    recipe = Recipe()
    photos = kept_judges(options.folder, recipe.size).folders
    model = load_model()
    calibration = draw(model, recipe, CALIBRATION_BLOCKS * BLOCK, CALIBRATION_SEED)
    drawn = draw(model, recipe, options.pictures)
    folded = options.folder / "folded.onnx"
    _fold(assets.path(PACKAGED), folded)
    files = {
        name: _quantised(folded, variant, options.folder / f"{name}.onnx", calibration)
        for name, variant in VARIANTS.items()
        if not options.variants or name in options.variants
    }
    encoders = {name: Encoder(file) for name, file in files.items()}
    spent = _milliseconds(encoders, drawn, options.repeats)
    rows, data = [], {}
    for name, encoder in encoders.items():
        figures = {
            "mb": files[name].stat().st_size / 1e6,
            "ms": spent[name],
            **vertex_distances(model, _read(encoder, drawn.images, drawn.landmarks_px), drawn.codes),
            "photos": {
                key: judge_codes(_read(encoder, crops.images, crops.landmarks_px), model, crops)
                for key, crops in photos.items()
            },
        }
        data[name] = figures
        cells = [f"{figures['mb']:.1f}", f"{figures['ms']:.2f}", f"{figures['vertex_mm']:.3f}"]
        cells += [f"{judged['nme478']:.2%}" for judged in figures["photos"].values()]
        cells += [f"{judged['rmse']:.4f}" for judged in figures["photos"].values()]
        rows.append([name, *cells])
    short = [key.split("/")[-1] for key in photos]
    columns = ["", "MB", "ms, one core", "vertices mm"]
    columns += [*(f"NME 478 {key}" for key in short), *(f"RMSE {key}" for key in short)]
    counts = ", ".join(f"{len(crops.names)} of {key}" for key, crops in photos.items())
    about = (
        f"{len(drawn.images)} drawn pictures; photographs: {counts}; ranges from {len(calibration.images)} "
        f"others; ONNX Runtime {onnxruntime.__version__}"
    )
    show(Report(about, columns, rows, {"variants": data}), options.out)


def _fold(file: Path, folded: Path) -> None:
    """The file with norms and casts folded, but no operators of ONNX Runtime's own."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])


def _quantised(folded: Path, variant: Variant | None, file: Path, calibration: Pictures) -> Path:
    """The file of a variant."""
    if variant is None:
        return assets.path(PACKAGED)
    contents = onnx.load(folded)
    if variant.static:
        quantize_static(
            contents,
            file,
            _Calibration(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Relu", "Add", "GlobalAveragePool"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_outside(contents, variant.static),
            calibrate_method=variant.method,
        )
        contents = onnx.load(file)
    if variant.dynamic:
        quantize_dynamic(
            contents,
            file,
            op_types_to_quantize=["Gemm", "MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[
                # it makes products and sums of linear layers, by other names
                name
                for node in _outside(contents, variant.dynamic)
                for name in (node, f"{node}_MatMul")
            ],
        )
        contents = onnx.load(file)
    _store_in_8_bits(contents.graph, set(_outside(contents, variant.stored)))
    halve(contents.graph)
    onnx.save(contents, file)
    return file


def _outside(contents: onnx.ModelProto, parts: tuple[str, ...]) -> list[str]:
    """Names of the nodes of all other parts."""
    names = [node.name for node in contents.graph.node]
    part_of = {
        name: next((part for part, prefix in PARTS.items() if name.startswith(prefix)), None)
        for name in names
    }
    return [name for name in names if part_of[name] not in parts]


class _Calibration(CalibrationDataReader):
    """Gives the pictures one batch after the other."""

    def __init__(self, pictures: Pictures) -> None:
        self.batches = self._batches(pictures)

    @staticmethod
    def _batches(pictures: Pictures) -> Iterator[dict[str, np.ndarray]]:
        size = pictures.images.shape[1]
        for first in range(0, len(pictures.images), BLOCK):
            part = slice(first, first + BLOCK)
            landmarks = landmarks_in_crop(pictures.landmarks_px[part], size).astype(np.float32)
            yield {"image": pictures.images[part], "landmarks": landmarks}

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def _store_in_8_bits(graph: onnx.GraphProto, but: set[str]) -> None:
    """Large weights, but those of the nodes named, by channel; their widening is folded on loading."""
    # a weight's outputs are its first axis, but of a product's second factor the last
    axes = {
        name: -1 if node.op_type == "MatMul" else 0
        for node in graph.node
        if node.name not in but
        for name in node.input
    }
    widen = []
    for weight in list(graph.initializer):
        array, name = numpy_helper.to_array(weight), weight.name
        if name not in axes or array.dtype != np.float32 or array.size < _LARGE or array.ndim < 2:
            continue
        others = tuple(axis for axis in range(array.ndim) if axis != axes[name] % array.ndim)
        scale = np.maximum(np.abs(array).max(axis=others, keepdims=True) / 127, 1e-12).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(np.round(array / scale).astype(np.int8), f"{name}.bytes"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        widen.append(helper.make_node("Cast", [f"{name}.bytes"], [f"{name}.wide"], to=TensorProto.FLOAT))
        widen.append(helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]))
    nodes = [*widen, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _milliseconds(encoders: Mapping[str, Encoder], drawn: Pictures, repeats: int) -> dict[str, float]:
    """Median processor time of one crop by name, one after the other in turns."""
    spent: dict[str, list[float]] = {name: [] for name in encoders}
    for i in np.arange(repeats) % len(drawn.images):
        crop, landmarks_px = drawn.images[i : i + 1], drawn.landmarks_px[i : i + 1]
        for name, encoder in encoders.items():
            start = time.process_time()
            encoder(crop, landmarks_px)
            spent[name].append(1e3 * (time.process_time() - start))
    return {name: float(np.median(times)) for name, times in spent.items()}


def _read(encoder: Encoder, images: np.ndarray, landmarks_px: np.ndarray) -> FaceCode:
    """Codes of crops, one after the other, as ranges measured in a call depend on all that is in it."""
    codes = [encoder(images[i : i + 1], landmarks_px[i : i + 1]) for i in range(len(images))]
    vectors = np.concatenate([code.to_vector() for code in codes])
    return FaceCode.from_vector(vectors, codes[0].layout, encoder.model)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=512, help="drawn to judge on")
    parser.add_argument("--repeats", type=int, default=300, help="crops to take the time of")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, metavar="NAME", help="some of them")
    parser.add_argument("--out", type=Path, help="writes OUT.md and OUT.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
