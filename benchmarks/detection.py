"""Face detection on group photographs made from portraits: recall by face width, false faces, time by stage.

    OMP_NUM_THREADS=1 python benchmarks/detection.py [FOLDER]

FOLDER holds photos_open and photos_lfw (default ../shared/data). Each group photograph is a mosaic of
enlarged backgrounds of portraits with faces of other portraits pasted in at known places, 24 to 200 px wide.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mien.detect import DetectedFace, Detector
from mien.image import load_image, to_uint8

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared" / "data"
SIZES = [(2000, 1500), (3000, 2000), (4000, 3000)]
WIDTHS_PX = {2000: (24, 32, 48, 100, 200), 3000: (36, 48, 80, 200), 4000: (48, 64, 100, 200)}
FACES_A_PHOTO = 12


def portraits(detector: Detector, files: list[Path]) -> list[tuple[Image.Image, np.ndarray]]:
    """Pictures with one face each, and its landmarks."""
    found = []
    for file in files:
        image = load_image(file)
        faces = detector.detect(image, 2)
        if len(faces) == 1 and faces[0].confidence > 0.8:
            found.append((Image.fromarray(to_uint8(image)), faces[0].landmarks_px))
    return found


def background(size: tuple[int, int], pictures: list[Image.Image], rng: np.random.Generator) -> Image.Image:
    """A mosaic of enlarged upper corners of portraits, which hold walls, trees and flags, but no face."""
    canvas = Image.new("RGB", size)
    step = 400
    for y in range(0, size[1], step):
        for x in range(0, size[0], step):
            picture = pictures[rng.integers(len(pictures))]
            side = picture.width // 5
            corner = (
                picture.crop((0, 0, side, side))
                if rng.random() < 0.5
                else picture.crop((picture.width - side, 0, picture.width, side))
            )
            canvas.paste(corner.resize((step, step), Image.Resampling.BICUBIC), (x, y))
    return canvas


def paste_face(
    canvas: Image.Image, picture: Image.Image, landmarks: np.ndarray, width_px: float, centre: np.ndarray
) -> tuple[Image.Image, np.ndarray]:
    """Pastes a face `width_px` wide at `centre`; returns its landmarks (478, 2) in the canvas."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    scale = width_px / (high[0] - low[0])
    margin = 0.35 * (high - low)
    left, top = np.floor(low - 1.5 * margin).astype(int)
    right, bottom = np.ceil(high + margin).astype(int)
    face = picture.crop((left, top, right, bottom))
    face = face.resize((round(face.width * scale), round(face.height * scale)), Image.Resampling.LANCZOS)
    mask = Image.new("L", face.size, 0)
    border = max(1, round(0.06 * face.width))
    ImageDraw.Draw(mask).ellipse((border, border, face.width - border, face.height - border), fill=255)
    corner = np.round(centre - np.array(face.size) / 2).astype(int)
    canvas.paste(face, tuple(int(v) for v in corner), mask.filter(ImageFilter.GaussianBlur(border / 2)))
    return canvas, (landmarks[:, :2] - (left, top)) * scale + corner


def group_photo(size, faces, backgrounds, rng) -> tuple[np.ndarray, list[tuple[float, np.ndarray]]]:
    """A picture, and the width and landmarks of each face in it."""
    canvas = background(size, backgrounds, rng)
    columns, rows = 4, 3
    truth = []
    for cell in rng.permutation(columns * rows)[:FACES_A_PHOTO]:
        width_px = float(rng.choice(WIDTHS_PX[size[0]]))
        low = np.array([cell % columns * size[0] / columns, cell // columns * size[1] / rows]) + width_px
        high = low + np.array([size[0] / columns, size[1] / rows]) - 2 * width_px
        picture, landmarks = faces[rng.integers(len(faces))]
        canvas, placed = paste_face(canvas, picture, landmarks, width_px, rng.uniform(low, high))
        truth.append((width_px, placed))
    return np.asarray(canvas, dtype=np.float32) / np.float32(255), truth


def error(face: DetectedFace, landmarks: np.ndarray) -> float:
    """Mean landmark distance in widths of the face."""
    distance = np.linalg.norm(face.landmarks_px[:, :2] - landmarks, axis=1).mean()
    return float(distance / np.ptp(landmarks[:, 0]))


def main() -> None:
    rng = np.random.default_rng(2)
    files = sorted(FOLDER.glob("photos_open/cc0/*.jpg"))
    grey = sorted(FOLDER.glob("photos_lfw/*.jpg"))
    with Detector() as detector:
        colour = portraits(detector, files)
        faces = colour + portraits(detector, [grey[i] for i in rng.choice(len(grey), 60, replace=False)])
        backgrounds = [picture for picture, _ in colour]
        print(f"{len(faces)} portraits")
        for size in SIZES:
            found: dict[float, list[bool]] = {}
            errors, false, times, empty_times, empty_false = [], 0, [], [], 0
            for _ in range(6):
                image, truth = group_photo(size, faces, backgrounds, rng)
                start = time.process_time()
                detected = detector.detect(image, 100)
                times.append(time.process_time() - start)
                hits = set()
                for width_px, landmarks in truth:
                    best = min(
                        range(len(detected)), key=lambda i: error(detected[i], landmarks), default=None
                    )
                    hit = best is not None and error(detected[best], landmarks) < 0.25
                    found.setdefault(width_px, []).append(hit)
                    if hit:
                        hits.add(best)
                        errors.append(error(detected[best], landmarks))
                false += len(detected) - len(hits)
            for _ in range(3):
                image = np.asarray(background(size, backgrounds, rng), dtype=np.float32) / np.float32(255)
                start = time.process_time()
                empty_false += len(detector.detect(image))
                empty_times.append(time.process_time() - start)
            recall = ", ".join(f"{w:.0f} px {np.mean(h):.2f} of {len(h)}" for w, h in sorted(found.items()))
            print(
                f"{size[0]}×{size[1]}: recall {recall}; "
                f"false faces {false} in 6 groups, {empty_false} in 3 empty; "
                f"landmark error {100 * np.median(errors):.1f} % of width; CPU s a photo "
                f"{np.median(times):.2f} with 12 faces, {np.median(empty_times):.2f} empty"
            )
        for name, sample in (("cc0 500 px", files[:30]), ("lfw 250 px", grey[:30])):
            images = [load_image(file) for file in sample]
            for max_faces in (8, 1):
                times = []
                for image in images:
                    start = time.process_time()
                    detector.detect(image, max_faces)
                    times.append(time.process_time() - start)
                print(f"{name}, max_faces {max_faces}: median {1e3 * np.median(times):.0f} ms CPU a photo")


if __name__ == "__main__":
    main()
