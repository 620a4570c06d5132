"""Speed of the rasteriser beside a straightforward z-buffer and Mesa's software OpenGL.

    NUMBA_NUM_THREADS=1 LP_NUM_THREADS=1 python benchmarks/raster.py

Each runs in turn, so that all see the same machine; medians of the runs, one thread. Each timed run follows
an untimed one of the same function: otherwise the one after OpenGL pays for the caches that OpenGL filled.
The straightforward z-buffer is what one writes first in numba: every triangle's box, barycentric coordinates
by division. OpenGL (moderngl on EGL; on Debian `apt-get install libegl1 libgl1-mesa-dri`) uploads the
vertices, draws triangle numbers and depth, and reads both back.

Where there is a CUDA GPU (and torch), the rasteriser's torch body follows: alone, and in whole batches of the
random pictures of benchmarks/training_pictures.py, from the sampled code to the bytes on the GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numba
import numpy as np

from mien.camera import Camera, project, to_camera
from mien.facecode import FaceCode
from mien.morphable import MorphableModel
from mien.raster import rasterize
from mien.render import render
from training_pictures import model, sample

SIZE = 224
ROUNDS = 100


def head(rings: int, segments: int) -> tuple[np.ndarray, np.ndarray]:
    """An egg of a head's size with a nose, seen a little from the side: (V, 3) projected points, (T, 3)."""
    polar = np.pi * np.arange(1, rings + 1) / (rings + 1)
    around = 2 * np.pi * np.arange(segments) / segments
    y, ring = np.cos(polar)[:, None], np.sin(polar)[:, None]
    unit = np.stack(np.broadcast_arrays(ring * np.sin(around), y, ring * np.cos(around)), axis=-1).reshape(
        -1, 3
    )
    unit = np.concatenate([unit, [[0, 1, 0], [0, -1, 0]]])
    nose = np.exp(-np.sum((unit[:, :2] / 0.15) ** 2, axis=1)) * (unit[:, 2] > 0)
    vertices = unit * [75, 105, 95] + nose[:, None] * [0, 0, 20]
    i, j = np.meshgrid(np.arange(rings - 1) * segments, np.arange(segments), indexing="ij")
    k = (j + 1) % segments
    body = [
        np.stack([i + j, i + j + segments, i + k], -1),
        np.stack([i + k, i + j + segments, i + k + segments], -1),
    ]
    j, k, last = np.arange(segments), (np.arange(segments) + 1) % segments, (rings - 1) * segments
    top, bottom = np.full(segments, len(unit) - 2), np.full(segments, len(unit) - 1)
    caps = [np.stack([top, j, k], -1), np.stack([bottom, last + k, last + j], -1)]
    triangles = np.concatenate([part.reshape(-1, 3) for part in (*body, *caps)]).astype(np.int32)
    placed = to_camera(vertices, np.array([0.05, 0.3, 0.02]), np.array([0.0, 0.0, 600.0]))
    camera = Camera(560.0, np.full(2, SIZE / 2), (SIZE, SIZE))
    return project(placed, camera).astype(np.float32), triangles


@numba.njit(cache=True, fastmath=True)
def straightforward(points, triangles, height, width):
    """The z-buffer of the textbooks: no culling, edges in float32, centres tested one by one."""
    triangle = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    half = np.float32(0.5)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t]
        x0, y0, x1, y1, x2, y2 = (
            points[i, 0],
            points[i, 1],
            points[j, 0],
            points[j, 1],
            points[k, 0],
            points[k, 1],
        )
        area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
        if abs(area) < 1e-9:
            continue
        left, right = (
            max(int(np.ceil(min(x0, x1, x2) - half)), 0),
            min(int(max(x0, x1, x2) - half), width - 1),
        )
        top, bottom = (
            max(int(np.ceil(min(y0, y1, y2) - half)), 0),
            min(int(max(y0, y1, y2) - half), height - 1),
        )
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = column + half, row + half
                w0 = ((y1 - y2) * (x - x2) + (x2 - x1) * (y - y2)) / area
                w1 = ((y2 - y0) * (x - x2) + (x0 - x2) * (y - y2)) / area
                w2 = 1 - w0 - w1
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                z = w0 * points[i, 2] + w1 * points[j, 2] + w2 * points[k, 2]
                if z < depth[row, column]:
                    depth[row, column] = z
                    triangle[row, column] = t
                    barycentric[row, column, 0] = w0
                    barycentric[row, column, 1] = w1
                    barycentric[row, column, 2] = w2
    return triangle, barycentric, depth


def opengl(points: np.ndarray, triangles: np.ndarray) -> Callable[[], np.ndarray]:
    """A function that draws the mesh with OpenGL and returns (H, W, 4) barycentrics and triangle number.

    Raises:
        Exception: moderngl, EGL or a driver is not there.
    """
    import moderngl

    context = moderngl.create_standalone_context(backend="egl")
    program = context.program(
        vertex_shader="""
            #version 330
            in vec3 point;
            uniform float size;
            void main() {
                float z = point.z, n = 1.0, f = 5000.0;
                vec2 xy = 2.0 * point.xy / size - 1.0;
                gl_Position = vec4(xy * z, (z * (f + n) - 2.0 * f * n) / (f - n), z);
            }""",
        geometry_shader="""
            #version 330
            layout(triangles) in;
            layout(triangle_strip, max_vertices = 3) out;
            out vec3 weight;
            flat out float number;
            void main() {
                for (int i = 0; i < 3; i++) {
                    weight = vec3(i == 0, i == 1, i == 2);
                    number = gl_PrimitiveIDIn;
                    gl_Position = gl_in[i].gl_Position;
                    EmitVertex();
                }
                EndPrimitive();
            }""",
        fragment_shader="""
            #version 330
            in vec3 weight;
            flat in float number;
            out vec4 seen;
            void main() { seen = vec4(weight, number + 1.0); }""",
    )
    program["size"] = float(SIZE)
    buffer = context.buffer(reserve=points.nbytes)
    corners = context.buffer(triangles.tobytes())
    array = context.vertex_array(program, [(buffer, "3f", "point")], corners)
    target = context.framebuffer(
        [context.texture((SIZE, SIZE), 4, dtype="f4")], context.depth_texture((SIZE, SIZE))
    )
    context.enable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
    context.front_face = "cw"  # the picture's y runs down

    def draw() -> np.ndarray:
        buffer.write(points)
        target.use()
        target.clear()
        array.render()
        target.depth_attachment.read()
        return np.frombuffer(target.color_attachments[0].read(), np.float32).reshape(SIZE, SIZE, 4)

    return draw


def medians_ms(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each function; they take turns, each timed with its own data in the caches."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            function()
            start = time.perf_counter()
            function()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def on_gpu() -> None:
    """Prints pictures a second of the torch body, or why it is left out."""
    try:
        import torch
    except ImportError:
        print("torch body left out: no torch")
        return
    if not torch.cuda.is_available():
        print("torch body left out: no CUDA GPU")
        return
    face = model()
    print(f"torch body on {torch.cuda.get_device_name()}, {len(face.identity_mean):,} vertices")
    for size in (112, 224):
        for batch in (64, 256):
            torch.cuda.reset_peak_memory_stats()
            functions = gpu_functions(face, size, batch)
            for name, milliseconds in medians_ms(functions).items():
                rate = 1e3 * batch / milliseconds
                print(f"  {size} x {size} px, batch {batch:>3}: {name:<14}{rate:10,.0f} pictures a second")
            print(f"    peak memory {torch.cuda.max_memory_allocated() >> 20:,} MiB")


def gpu_functions(face: MorphableModel, size: int, batch: int) -> dict[str, Callable[[], None]]:
    """Functions that make `batch` pictures on the GPU and wait for them.

    Raises:
        AssertionError: the torch body does not see the same triangles as the kernel on the CPU.
    """
    import torch

    rng, on_device = np.random.default_rng(0), face.to(torch.zeros(1, device="cuda"))
    triangles = on_device.triangles

    def codes() -> FaceCode:
        code = sample(face, rng, batch)
        parts = {name: torch.from_numpy(v).cuda() for name, v in vars(code).items() if name != "model"}
        return FaceCode(**parts | {"focal_px": parts["focal_px"] * size / SIZE}, model=face.id)

    def pictures() -> None:
        background = torch.rand(batch, 1, 1, 3, device="cuda")
        drawn = render(on_device, codes(), (size, size), detail=False, background=background)
        assert drawn.image_uint8.shape == (batch, size, size, 3)
        torch.cuda.synchronize()

    code = codes()
    camera = Camera(code.focal_px, torch.full((2,), size / 2, device="cuda"), (size, size))
    vertices = on_device.vertices(code.identity, code.expression)
    points = project(to_camera(vertices, code.rotation, code.translation), camera)
    kernel = rasterize(points.cpu(), triangles.cpu(), size, size)
    assert torch.equal(rasterize(points, triangles, size, size).triangle.cpu(), kernel.triangle)

    def fragments() -> None:
        rasterize(points, triangles, size, size)
        torch.cuda.synchronize()

    return {"code to bytes": pictures, "rasterise": fragments}


def main() -> None:
    """Prints one table for each mesh, and one of the GPU."""
    for rings, segments in ((69, 72), (230, 231)):
        points, triangles = head(rings, segments)
        functions = {
            "mien": lambda p=points, t=triangles: rasterize(p, t, SIZE, SIZE),
            "straightforward": lambda p=points, t=triangles: straightforward(p, t, SIZE, SIZE),
        }
        ours, theirs = functions["mien"](), functions["straightforward"]()
        agree = np.mean(ours.triangle == theirs[0])
        try:
            functions["OpenGL, llvmpipe"] = opengl(points, triangles)
        except Exception as error:  # whatever moderngl, EGL or the driver has to say
            print(f"OpenGL left out: {str(error).splitlines()[0]}")
        else:
            drawn = functions["OpenGL, llvmpipe"]()[..., 3] > 0
            print(f"pixels covered alike by OpenGL: {np.mean(drawn == (ours.triangle >= 0)):.4f}")
        result = medians_ms(functions)
        print(
            f"{len(points):,} vertices, {len(triangles):,} triangles, {SIZE} x {SIZE} px, one thread, "
            f"median of {ROUNDS}; triangles seen alike: {agree:.4f}"
        )
        for name, value in result.items():
            print(f"  {name:<18}{value:7.2f} ms  {value / result['straightforward']:5.2f} of straightforward")
    on_gpu()


if __name__ == "__main__":
    main()
