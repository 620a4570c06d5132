"""Speed of a model of the Basel Face Model 2017's full size: adding it, evaluating and drawing it.

    python benchmarks/model_files.py

Writes a file in the published layout with 53,149 vertices, 199 shape, 100 expression and 199 colour
components (of the default model's face, refined, and smooth random fields), adds it, times codes of full
length drawn at 224 by 224 pixels on one thread, and makes a GLB. Each step is a process of its own, whose
peak memory is told.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import json  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import numpy as np  # noqa: E402

if TYPE_CHECKING:
    from mien.facecode import FaceCode
    from mien.morphable import MorphableModel

VERTICES, SHAPES, EXPRESSIONS, COLOURS = 53_149, 199, 100, 199
SIZE_PX, ROUNDS = 224, 30


def write_full_size(file: Path) -> None:
    """A file as model2017-1_bfm_nomouth.h5, of its size."""
    import h5py

    from mien.adoption.registration import seen_from_outside
    from mien.image import linear_to_srgb
    from mien.morphable import load_model

    model, rng = load_model(), np.random.default_rng(0)
    kept = seen_from_outside(model.identity_mean.astype(float), model.triangles)
    fields = np.concatenate([model.identity_components, model.expression_components]).transpose(1, 0, 2)
    fields = fields.reshape(len(fields), -1)
    count = len(kept)
    albedo = linear_to_srgb(model.albedo(np.zeros(60, np.float32)))[:count]
    attributes = model.refinement(np.c_[model.identity_mean, albedo, fields].astype(np.float32))
    refined = model.refinement(kept[:, None].astype(np.float32))[:, 0] > 0.9
    triangles = model.refinement.triangles[refined[model.refinement.triangles].all(axis=1)]
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    pairs, number = np.unique(edges, axis=0, return_inverse=True)
    middle = number.reshape(-1, 3) + len(attributes)
    (a, b, c), (ab, bc, ca) = triangles.T, middle.T
    quarters = ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))
    triangles = np.concatenate([np.stack(corners, axis=1) for corners in quarters])
    attributes = np.concatenate([attributes, 0.5 * (attributes[pairs[:, 0]] + attributes[pairs[:, 1]])])
    used = np.unique(triangles)
    order = np.argsort(np.linalg.norm(attributes[used, :3] - [0.0, -20.0, 60.0], axis=1))
    near = np.zeros(len(attributes), bool)
    near[used[order[:VERTICES]]] = True
    triangles = triangles[near[triangles].all(axis=1)]
    chosen = np.flatnonzero(near)
    new = np.zeros(len(near), int)
    new[chosen] = np.arange(len(chosen))
    attributes, triangles = attributes[chosen], new[triangles]

    def more(components: np.ndarray, wanted: int, size: float) -> np.ndarray:
        missing = max(0, wanted - len(components))
        waves = rng.normal(size=(missing, 3)) / 25.0
        smooth = np.sin(attributes[:, :3] @ waves.T + rng.uniform(0, 6.3, missing)).T[..., None]
        smooth = size * smooth * rng.normal(size=(missing, 1, 3))
        return np.concatenate([components, smooth])[:wanted].reshape(wanted, -1).T

    moves = attributes[:, 6:].reshape(len(chosen), -1, 3).transpose(1, 0, 2)
    with h5py.File(file, "w") as h5:
        for name, mean, components in (
            ("shape", attributes[:, :3], more(moves[:100], SHAPES, 0.1)),
            ("expression", np.zeros((len(chosen), 3)), more(moves[100:], EXPRESSIONS, 0.05)),
            ("color", attributes[:, 3:6], more(np.zeros((0, len(chosen), 3)), COLOURS, 0.005)),
        ):
            basis, lengths = np.linalg.qr(components.astype(np.float32))
            h5[f"{name}/model/mean"] = mean.ravel().astype(np.float32)
            h5[f"{name}/model/pcaBasis"] = basis
            h5[f"{name}/model/pcaVariance"] = np.diag(lengths) ** 2
            h5[f"{name}/representer/points"] = mean.T.astype(np.float32)
            h5[f"{name}/representer/cells"] = triangles.T.astype(np.int32)


def random_code(model: MorphableModel, rng: np.random.Generator) -> FaceCode:
    """Of full length, a little turned."""
    from mien.facecode import FaceCode
    from mien.lighting import studio_light

    return FaceCode(
        identity=rng.normal(size=SHAPES).astype(np.float32),
        expression=rng.normal(size=EXPRESSIONS).astype(np.float32),
        albedo=rng.normal(size=COLOURS).astype(np.float32),
        rotation=(0.2 * rng.normal(size=3)).astype(np.float32),
        translation=np.array([0, 0, 900], np.float32),
        illumination=studio_light(),
        focal_px=np.float32(900.0),
        model=model.id,
    )


def measure(name: str) -> dict[str, float]:
    """Milliseconds, the median, of evaluating and drawing random codes; processor time beside the clock's."""
    from mien.morphable import load_model
    from mien.render import render

    model, rng = load_model(name), np.random.default_rng(0)
    wall, processor = [], []
    for _ in range(ROUNDS):
        code = random_code(model, rng)
        start = time.perf_counter(), time.process_time()
        picture = render(model, code, (SIZE_PX, SIZE_PX)).image_uint8
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    if picture.max() == 0:
        raise RuntimeError("the picture is empty")
    return {
        "vertices": len(model.part),
        "draw_ms": 1e3 * float(np.median(wall)),
        "draw_fastest_ms": 1e3 * min(wall),
        "draw_processor_ms": 1e3 * float(np.median(processor)),
    }


def export(name: str) -> dict[str, float]:
    """Size of the GLB of a random code, and seconds that it takes."""
    from mien.export.glb import glb_bytes
    from mien.morphable import load_model

    model, rng = load_model(name), np.random.default_rng(0)
    start = time.perf_counter()
    size = len(glb_bytes(model, random_code(model, rng), np.full((1024, 1024, 3), 0.5, np.float32)))
    return {"glb_s": time.perf_counter() - start, "glb_mb": size / 1e6}


def run(command: list[str], environment: dict[str, str]) -> tuple[str, dict[str, float]]:
    """What a command prints, and seconds by the clock and of processor, and peak memory, that it takes."""
    start = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        told = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return told, {
        "s": time.perf_counter() - start,
        "processor_s": used.ru_utime + used.ru_stime,
        "memory_mb": used.ru_maxrss / 1024,
    }


def main() -> None:
    """Prints the figures as JSON."""
    if sys.argv[1:2] == ["--write"]:
        write_full_size(Path(sys.argv[2]))
        return
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
        return
    if sys.argv[1:2] == ["--export"]:
        print(json.dumps(export(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model2017-1_bfm_nomouth.h5")
        environment = os.environ | {"XDG_DATA_HOME": folder}
        run([sys.executable, __file__, "--write", file], environment)
        added, adding = run([sys.executable, "-m", "mien", "models", "add", "bfm2017", file], environment)
        drawn, drawing = run([sys.executable, __file__, "--measure", "bfm2017"], environment)
        figures = {f"add_{key}": value for key, value in adding.items()}
        figures |= json.loads(drawn) | {"draw_memory_mb": drawing["memory_mb"]}
        exported, exporting = run([sys.executable, __file__, "--export", "bfm2017"], environment)
        figures |= json.loads(exported) | {"glb_memory_mb": exporting["memory_mb"]}
        print(added, json.dumps(figures, indent=1), sep="\n")


if __name__ == "__main__":
    main()
