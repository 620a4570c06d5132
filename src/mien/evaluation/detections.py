"""What the detector says of many pictures, kept on disk, so that fits can be tried again and again."""

from __future__ import annotations

import hashlib
import inspect
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

import mien.detect


@dataclass(frozen=True, eq=False)
class Detections:
    """The largest face of each of N pictures.

    Attributes:
        names: (N,) str.
        found: (N,) bool; where false, the rest is zero.
        landmarks_px: (N, 478, 3) float64. blendshapes: (N, 52) float64.
        milliseconds: (N,) of processor time, all threads added up, that the detector took.
    """

    names: np.ndarray
    found: np.ndarray
    landmarks_px: np.ndarray
    blendshapes: np.ndarray
    milliseconds: np.ndarray


def detect_all(
    names: Sequence[str],
    load: Callable[[int], np.ndarray],
    key: str,
    cache: Path,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Detections:
    """Detects in every picture, or reads what an earlier call with the same key and detector has found.

    Args:
        names: of the pictures.
        load: number of a picture to its (H, W, 3) sRGB in [0, 1].
        key: changes when the pictures do.
        cache: folder.
        progress: wraps the numbers, as `rich.progress.track` does.
    """
    detector_text = inspect.getsource(mien.detect)
    digest = hashlib.sha256("\0".join([key, detector_text, *names]).encode()).hexdigest()[:16]
    kept = cache / f"detections-{digest}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return Detections(**arrays)
    found = np.zeros(len(names), bool)
    landmarks, scores = np.zeros((len(names), 478, 3)), np.zeros((len(names), 52))
    milliseconds = np.zeros(len(names))
    with mien.detect.Detector() as detector:
        for i in progress(range(len(names))):
            image = load(i)
            start = time.process_time()
            faces = detector.detect(image, max_faces=1)
            milliseconds[i] = 1e3 * (time.process_time() - start)
            if faces:
                found[i], landmarks[i], scores[i] = True, faces[0].landmarks_px, faces[0].blendshapes
    result = Detections(np.array(names), found, landmarks, scores, milliseconds)
    save_arrays(kept, **{f.name: getattr(result, f.name) for f in fields(result)})
    return result


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz file whole or not at all, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{path.name}")
    np.savez(part, **arrays)
    part.replace(path)
