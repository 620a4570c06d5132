"""The texture projected from a picture, on pictures whose truth is known."""

import numpy as np
import pytest

from mien.camera import Camera, project, rotate, to_camera
from mien.image import linear_to_srgb, srgb_to_linear
from mien.lighting import shading
from mien.mesh import vertex_normals
from mien.render import render
from mien.texture import project_texture
from tiny_face import tiny_code, tiny_face

SIZE = 256
PICTURE = (320, 320)
CAMERA = Camera(np.float32(600.0), np.array([160.0, 160.0]), PICTURE)

FRONT = ~np.isin(
    np.arange(len(tiny_face().mirror)),
    tiny_face().triangles[(tiny_face().uv_triangles >= len(tiny_face().mirror)).any(axis=1)],
)
"""(V,) vertices off the seams, whose texel is the one of their number."""
SKIN = tiny_face().part == 0


def code_of(yaw: float = 0.0, **parts):
    parts = {"rotation": np.array([0, yaw, 0], np.float32), **parts}
    return tiny_code(5).with_(focal_px=CAMERA.focal_px, translation=np.float32([0, 0, 600]), **parts)


def picture_of(code, **options) -> np.ndarray:
    return render(tiny_face(), code, PICTURE, supersample=2, **options).image


def vertices_of(code):
    """Texel, projection and visibility (facing well, and not hidden) of each base vertex."""
    model = tiny_face()
    vertices = model.vertices(code.identity, code.expression)
    points = to_camera(vertices, code.rotation, code.translation)
    normals = rotate(vertex_normals(vertices, model.triangles), code.rotation)
    facing = -(normals * [1, -1, -1] * points).sum(1) / np.linalg.norm(points, axis=1)
    depth = render(model, code, PICTURE).depth
    places = project(points, CAMERA)
    column, row = places[:, :2].astype(int).T
    seen = (facing > 0.7) & (points[:, 2] < depth[row, column] + 3)
    count = len(vertices)
    texel = (model.uv[:count] * [SIZE, -SIZE] + [0, SIZE]).astype(int)
    return texel, places, seen & FRONT


def at(texture, texel):
    return texture[texel[:, 1], texel[:, 0]]


def true_colours(code, lit: bool) -> np.ndarray:
    model = tiny_face()
    vertices = model.vertices(code.identity, code.expression)
    colours = model.albedo(code.albedo)[: len(vertices)]
    if lit:
        normals = rotate(vertex_normals(vertices, model.triangles), code.rotation)
        colours = colours * shading(normals, code.illumination)
    return linear_to_srgb(np.clip(colours, 0, 1))


@pytest.mark.parametrize("mode", ["photo", "albedo"])
def test_the_models_own_picture_gives_the_models_own_colours(mode):
    code = code_of(0.2)
    texture = project_texture(tiny_face(), code, picture_of(code), CAMERA, SIZE, mode)
    texel, _, seen = vertices_of(code)
    difference = np.abs(at(texture, texel) - true_colours(code, mode == "photo"))
    assert (seen & SKIN).sum() > 10
    assert difference[seen & SKIN].max() < (0.03 if mode == "photo" else 0.05)


def test_seen_skin_has_the_photos_pixels():
    code = code_of()
    rows, columns = np.mgrid[:320, :320] / 60.0
    waves = 0.5 + 0.2 * np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=-1)
    texture = project_texture(tiny_face(), code, waves.astype(np.float32), CAMERA, SIZE)
    texel, places, seen = vertices_of(code)
    column, row = places[:, :2].astype(int).T
    x, y, _ = tiny_face().identity_mean.T
    core = seen & SKIN & (np.abs(x) < 40) & (y < 20)
    difference = np.abs(at(texture, texel) - waves[row, column])[core]
    assert difference.mean() < 0.02 and difference.max() < 0.1


def test_all_texels_are_colours_whatever_the_picture():
    for seed, picture in enumerate([np.zeros((320, 320, 3)), np.ones((320, 320, 3)), np.zeros((1, 1, 3))]):
        texture = project_texture(
            tiny_face(), code_of(0.3 * seed), picture.astype(np.float32), CAMERA, SIZE, "albedo"
        )
        assert texture.shape == (SIZE, SIZE, 3) and texture.dtype == np.float32
        assert np.isfinite(texture).all() and texture.min() >= 0 and texture.max() <= 1
        assert texture.min(axis=(0, 1)).max() > 0.005  # no black outside the layout


def test_a_face_outside_the_picture_gets_the_models_colours():
    code = code_of().with_(translation=np.float32([5000, 0, 600]))
    texture = project_texture(tiny_face(), code, np.ones((320, 320, 3), np.float32), CAMERA, SIZE, "albedo")
    texel, _, _ = vertices_of(code_of())
    np.testing.assert_allclose(at(texture, texel)[FRONT], true_colours(code, False)[FRONT], atol=0.02)


def test_a_mark_on_the_seen_cheek_shows_on_the_unseen_one():
    code = code_of(0.9)
    model = tiny_face()
    texel, places, seen = vertices_of(code)
    mark = np.flatnonzero(seen & (np.abs(model.identity_mean[:, 0]) > 45) & (model.part == 0))
    mark = mark[np.abs(model.identity_mean[mark, 1]).argmin()]
    partner = model.mirror[mark]
    assert not seen[partner]
    clean = picture_of(code)
    rows, columns = np.mgrid[:320, :320] + 0.5
    near = np.hypot(columns - places[mark, 0], rows - places[mark, 1]) < 7
    marked = np.where(near[..., None], 0.3 * clean, clean)
    before, after = (project_texture(model, code, p, CAMERA, SIZE) for p in (clean, marked))
    fall = srgb_to_linear(at(after, texel)) / srgb_to_linear(at(before, texel))
    assert fall[mark].max() < 0.5
    assert fall[partner].max() < 0.7
    far = np.linalg.norm(model.identity_mean - model.identity_mean[mark], axis=1) > 80
    assert np.abs(fall[seen & far] - 1).max() < 0.1


def test_brighter_skin_is_brighter_on_the_back_of_the_head_too():
    code = code_of()
    clean = picture_of(code)
    brighter = linear_to_srgb(1.5 * srgb_to_linear(clean))
    before, after = (project_texture(tiny_face(), code, p, CAMERA, SIZE) for p in (clean, brighter))
    back = (slice(SIZE // 4, SIZE // 3), slice(2 * SIZE // 3, 5 * SIZE // 6))
    gain = srgb_to_linear(after[back]) / srgb_to_linear(before[back])
    assert 1.05 < gain.min() and gain.max() < 1.6


def test_photo_and_albedo_differ_by_the_light():
    code = code_of(0.2)
    picture = picture_of(code)
    photo, albedo = (
        project_texture(tiny_face(), code, picture, CAMERA, SIZE, m) for m in ("photo", "albedo")
    )
    texel, _, seen = vertices_of(code)
    seen &= SKIN
    light = true_colours(code, True), true_colours(code, False)
    wanted = srgb_to_linear(light[0][seen]) / srgb_to_linear(light[1][seen])
    found = srgb_to_linear(at(photo, texel)[seen]) / srgb_to_linear(at(albedo, texel)[seen])
    np.testing.assert_allclose(found, wanted, rtol=0.15)


def test_the_background_does_not_leak_onto_the_silhouette():
    code = code_of()
    blue, green = (
        project_texture(tiny_face(), code, picture_of(code, background=np.float32(colour)), CAMERA, SIZE)
        for colour in ([0, 0, 1], [0, 1, 0])
    )
    assert np.abs(blue - green).max() < 0.02


def test_what_is_no_skin_is_not_painted_beside_the_face():
    code = code_of(0.9)
    model = tiny_face()
    texel, places, seen = vertices_of(code)
    x, y, _ = model.identity_mean.T
    beside = seen & (x < -62) & (y < 20) & (model.part == 0)
    cheek = seen & (np.abs(x) < 40) & (np.abs(y + 30) < 20) & (model.part == 0)
    assert beside.any() and cheek.any()
    clean = picture_of(code)
    rows, columns = np.mgrid[:320, :320] + 0.5
    distance = [np.hypot(columns - px, rows - py) for px, py in places[:, :2]]
    covered = np.minimum.reduce([distance[i] for i in np.flatnonzero((x < -55) & seen)]) < 9
    hidden = np.where(covered[..., None], np.float32([0, 0.6, 0]), clean)
    before, after = (project_texture(model, code, p, CAMERA, SIZE) for p in (clean, hidden))
    green = at(after, texel)[:, 1] - at(after, texel)[:, 0]
    assert covered[places[beside, 1].astype(int), places[beside, 0].astype(int)].all()
    assert green[beside].max() < 0.1
    assert np.abs(at(after, texel) - at(before, texel))[cheek].max() < 0.03
