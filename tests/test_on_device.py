"""The generator in torch makes what the NumPy form makes: the same codes, shapes, shares and faults."""

import cv2
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from mien.align import align
from mien.camera import rotation_matrix
from mien.morphable import load_model
from mien.render import render
from mien.synthesis import BLOCK, Recipe, generate
from mien.synthesis.codes import landmarks_in_crops, random_codes, seen_in_crops
from mien.synthesis.on_device import DeviceGenerator, crops, filters, shapes
from mien.synthesis.on_device.chance import Chance
from mien.synthesis.on_device.crops import Crops
from mien.synthesis.on_device.jpeg import jpeg
from mien.synthesis.on_device.photograph import photograph
from mien.synthesis.world import LOW_RESOLUTION
from mien.training.crop_code import CropCode
from mien.training.device_stream import DeviceStream
from tiny_face import tiny_face

CPU = torch.device("cpu")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def numpy_codes(codes):
    return codes.with_(**{name: getattr(codes, name).numpy() for name in codes.layout.shapes})


def smooth_pictures(rng, count, size):
    """(count, size, size, 3) uint8 with edges and slopes."""
    noise = rng.normal(size=(count, size, size, 3))
    soft = np.stack([cv2.GaussianBlur(n, (0, 0), 3) for n in noise]) * 500 + 128
    soft[:, size // 3 :, : size // 2] += 60
    return np.clip(soft, 0, 255).astype(np.uint8)


def planes_of(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def test_a_block_depends_on_its_seed_and_number_alone():
    first, again = (DeviceGenerator(tiny_face(), Recipe(48), CPU, 8)(3, 1) for _ in range(2))
    assert torch.equal(first.images, again.images) and torch.equal(first.landmarks_px, again.landmarks_px)
    assert torch.equal(first.codes.to_vector(), again.codes.to_vector())
    for seed, block in ((3, 2), (4, 1)):
        other = DeviceGenerator(tiny_face(), Recipe(48), CPU, 8)(seed, block)
        assert (other.images != first.images).float().mean() > 0.5


def test_a_block_has_the_shapes_it_states():
    block = DeviceGenerator(tiny_face(), Recipe(40), CPU, 5)(0, 0)
    assert block.images.shape == (5, 40, 40, 3) and block.images.dtype == torch.uint8
    assert block.landmarks_px.shape == (5, 478, 2) and block.landmarks_px.dtype == torch.float32
    vector = block.codes.to_vector()
    assert vector.dtype == torch.float32 and vector.isfinite().all() and block.landmarks_px.isfinite().all()


@pytest.mark.parametrize("size", [64, 160])
def test_without_a_world_a_picture_is_what_numpy_renders_of_its_code(size):
    model = load_model()
    drawn = DeviceGenerator(model, Recipe(size, world=False), CPU, 4)(0, 0)
    samples = 2 if size < 160 else 1
    again = render(model, numpy_codes(drawn.codes), (size, size), detail=False, supersample=samples)
    off = np.abs(drawn.images.numpy().astype(int) - again.image_uint8)
    # a rounding may move an edge over a pixel centre
    assert (off > 1).mean() < 2e-4 and drawn.images.reshape(4, -1).any(1).all()


def test_codes_are_those_of_the_numpy_form():
    model = tiny_face()
    drawn = DeviceGenerator(model, Recipe(32), CPU, BLOCK)(2, 3)
    numpy_form = generate(model, Recipe(32), 2, 3)
    for part in ("identity", "expression", "albedo"):
        assert_allclose(getattr(drawn.codes, part), getattr(numpy_form.codes, part), atol=1e-6)


def test_crops_follow_align_and_the_crop_camera(rng, monkeypatch):
    """Without the detector's errors both forms see each code in the same camera."""
    model = load_model()
    codes = random_codes(model, rng, 20)
    monkeypatch.setattr(Chance, "normal", lambda self, *size: torch.zeros(size))
    monkeypatch.setattr(Chance, "noise", lambda self, size: torch.zeros(size))
    monkeypatch.setattr(Chance, "uniform", lambda self, low, high, *size: torch.full(size, float(low)))

    class Still:
        normal = random = staticmethod(lambda size: np.zeros(size))

    expected, landmarks = seen_in_crops(model, Still, codes, 100)
    chance = Chance(rng, CPU)
    tensors = codes.with_(**{name: chance.tensor(getattr(codes, name)) for name in codes.layout.shapes})
    frame = Crops.of(model, CPU)
    seen, landmarks_px = frame.seen(tensors, chance, 100)
    for part in codes.layout.shapes:
        assert_allclose(getattr(seen, part), getattr(expected, part), rtol=1e-4, atol=2e-3, err_msg=part)
    assert_allclose(landmarks_px, landmarks, atol=2e-3)
    assert_allclose(frame.landmarks_px(seen, 100), landmarks_in_crops(model, expected, 100), atol=5e-3)


def test_landmark_errors_are_as_large_as_in_the_numpy_form(rng):
    model = load_model()
    codes = random_codes(model, rng, 400)
    expected, detected = seen_in_crops(model, rng, codes, 100)
    expected_error = detected - landmarks_in_crops(model, expected, 100)
    chance, frame = Chance(rng, CPU), Crops.of(model, CPU)
    tensors = codes.with_(**{name: chance.tensor(getattr(codes, name)) for name in codes.layout.shapes})
    seen, landmarks_px = frame.seen(tensors, chance, 100)
    error = (landmarks_px - frame.landmarks_px(seen, 100)).numpy()
    assert_allclose(error.std(0).mean(0), expected_error.std(0).mean(0), rtol=0.1)
    assert_allclose(error.std(0), expected_error.std(0), rtol=0.5)
    shift, expected_shift = error.mean(1).std(0), expected_error.mean(1).std(0)
    assert_allclose(shift, expected_shift, rtol=0.2)
    for part in ("translation", "rotation", "illumination", "focal_px"):
        ours, theirs = getattr(seen, part).numpy(), getattr(expected, part)
        assert_allclose(ours.std(0), theirs.std(0), rtol=0.15, atol=0.02 * np.abs(theirs).max(), err_msg=part)


def test_rotation_vectors_are_inverse(rng):
    vectors = rng.normal(size=(200, 3))
    vectors *= (rng.uniform(0, 2.6, 200) / np.linalg.norm(vectors, axis=1))[:, None]
    vectors[:2] = [[0, 0, 0], [1e-5, 0, 0]]
    back = crops._rotation_vector(rotation_matrix(torch.from_numpy(vectors)))
    assert_allclose(back, vectors, atol=1e-7)


def test_alignment_is_that_of_align(rng):
    points = rng.normal(size=(6, 478, 2)) * 20 + 100
    expected = align(points, 64)
    centre, side, roll = crops._aligned(torch.from_numpy(points))
    assert_allclose(centre, expected.centre_px)
    assert_allclose(side, expected.side_px)
    assert_allclose(roll, expected.roll_radians)


def test_polygons_cover_what_opencv_fills(rng):
    angle = np.sort(rng.uniform(0, 2 * np.pi, (20, 9)))
    outlines = 24 + rng.uniform(5, 30, (20, 9, 1)) * np.stack([np.cos(angle), np.sin(angle)], -1)
    ours = shapes.polygon(torch.from_numpy(outlines).float(), 48).numpy()
    for outline, mask in zip(outlines, ours, strict=True):
        fine = np.zeros((48 * 8, 48 * 8), np.uint8)
        cv2.fillPoly(fine, [np.round((outline * 8 - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
        exact = fine.reshape(48, 8, 48, 8).mean((1, 3)) / 255
        assert np.abs(mask - exact).max() < 0.3 and np.abs(mask - exact).mean() < 0.01


def test_a_polygon_has_its_area_either_way_round():
    square = torch.tensor([[[2.25, 3.5], [9.75, 3.5], [9.75, 8.25], [2.25, 8.25]]])
    for outline in (square, square.flip(1)):
        assert_allclose(shapes.polygon(outline, 16).sum(), 7.5 * 4.75, rtol=1e-6)


def test_superellipses_and_segments_know_their_distance():
    axes, power = torch.tensor([8.0, 8.0]), torch.tensor(1.0)
    points = torch.tensor([[9.0, 0.0], [0.0, 7.5], [6.0, 6.0]])
    assert_allclose(shapes.superellipse(points, axes, power), points.norm(dim=1) - 8, atol=1e-3)
    boxy = shapes.superellipse(
        torch.tensor([[7.0, 3.0], [7.0, 4.5]]), torch.tensor([6.0, 4.0]), torch.tensor(0.2)
    )
    assert_allclose(boxy[0], 1.0, atol=0.02)
    ends = torch.tensor([[1.0, 1.0], [5.0, 1.0]])
    distance = shapes.segment(torch.tensor([[3.0, 4.0], [8.0, 5.0], [0.0, 1.0]]), *ends)
    assert_allclose(distance, [3, 5, 1])


@pytest.mark.parametrize("side", [20, 33, 48])
def test_shrinking_is_opencvs_area(rng, side):
    image = smooth_pictures(rng, 1, 48)
    expected = cv2.resize(image[0].astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    small = filters.separable(planes_of(image), filters.area(torch.tensor([float(side)]), 48))[0]
    assert_allclose(small[:, :side, :side].permute(1, 2, 0), expected, atol=1e-2)
    if side < 48:
        assert_allclose(
            small[:, side:, : side // 2], small[:, side - 1 : side, : side // 2].expand(-1, 48 - side, -1)
        )


@pytest.mark.parametrize("sigma", [0.0, 0.6, 2.0])
def test_blur_is_opencvs_within_the_border(rng, sigma):
    image = smooth_pictures(rng, 1, 48)[0].astype(np.float32)
    size = 2 * int(np.floor(3 * sigma)) + 1
    expected = cv2.GaussianBlur(image, (size, size), sigma) if sigma else image
    matrix = filters.gaussian(torch.tensor([sigma]), torch.tensor([48.0]), 48)
    blurred = filters.separable(planes_of(image[None]), matrix)[0].permute(1, 2, 0)
    assert_allclose(blurred[8:-8, 8:-8], expected[8:-8, 8:-8], atol=0.05)


def test_a_bank_is_read_as_opencv_resizes(rng):
    bank = smooth_pictures(rng, 5, 64)
    tensors = torch.from_numpy(bank.transpose(3, 0, 1, 2).copy()).float()
    share = shapes.centres(30, CPU) / 30
    points = torch.tensor([7.0, 11.0]) + share * 40
    piece = filters.sample_bank(tensors, torch.tensor([3, 0]), points.expand(2, -1, -1, -1))
    for got, number in zip(piece, (3, 0), strict=True):
        expected = cv2.resize(bank[number, 11:51, 7:47].astype(np.float32), (30, 30))
        assert_allclose(got.permute(1, 2, 0)[1:-1, 1:-1], expected[1:-1, 1:-1], atol=0.02)


@pytest.mark.parametrize("quality", [20, 50, 75, 95])
def test_compression_is_libjpegs(rng, quality):
    images = smooth_pictures(rng, 2, 72)
    ours = jpeg(planes_of(images), torch.full((2,), float(quality))).permute(0, 2, 3, 1).numpy()
    for image, mine in zip(images, ours, strict=True):
        file = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        theirs = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
        loss = np.abs(theirs - image).mean()
        assert np.abs(mine - theirs).mean() < 0.25 * loss + 0.3


def test_a_camera_keeps_the_faces_brightness_and_states_the_width_of_its_pixels(rng):
    flat, brightness = torch.full((300, 3, 56, 56), 100.0), torch.full((300,), 100.0)
    flat[:, :, :28] = 180.0
    pictures, pixel = photograph(flat, brightness, Chance(rng, CPU))
    assert_allclose((pixel > 1).float().mean(), LOW_RESOLUTION, atol=0.09)
    behind, face = pictures[:, :, 3:20].mean((1, 2, 3)), pictures[:, :, -20:].mean((1, 2, 3))
    assert float((face - 100).abs().max()) < 15
    assert abs(float(behind.mean()) - 180) < 6 and float(behind.std()) > 8


def grey_share(images):
    return (np.ptp(images.reshape(len(images), -1, 3).astype(float).mean(1), axis=1) < 0.6).mean()


def test_pictures_are_distributed_as_those_of_the_numpy_form():
    model, recipe = tiny_face(), Recipe(48)
    numpy_form = np.concatenate([generate(model, recipe, 9, block).images for block in range(4)])
    ours = DeviceGenerator(model, recipe, CPU, 4 * BLOCK)(9, 0).images.numpy()
    assert abs(grey_share(ours) - grey_share(numpy_form)) < 0.1 and grey_share(ours) > 0.05
    statistics = []
    for images in (ours, numpy_form):
        images = images.astype(np.float32)
        level, contrast = images.mean((1, 2, 3)), images.std((1, 2, 3))
        detail = np.abs(np.diff(images.mean(-1), axis=2)).mean((1, 2))
        rows = images.mean((0, 2, 3)) / images.mean()
        statistics.append([np.quantile(a, [0.1, 0.5, 0.9]) for a in (level, contrast, detail)] + [rows])
    for mine, theirs in zip(*statistics, strict=True):
        assert_allclose(mine, theirs, rtol=0.2, atol=1.0)


def test_training_reads_the_same_batches(rng):
    stream = DeviceStream(DeviceGenerator(tiny_face(), Recipe(32), CPU, 4), 7)
    made = stream.generate(7, 2)
    first, second = stream.batches(2, 3, 8)
    assert torch.equal(first.images, made.images) and torch.equal(second.images, stream[5].images)
    assert_allclose((first.landmarks + 1) * 16, made.landmarks_px, atol=1e-4)
    on_host = CropCode.from_code(numpy_codes(made.codes), 32)
    for ours, theirs in zip(first.codes, on_host, strict=True):
        assert ours.dtype == torch.float32
        assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_renders_what_the_cpu_renders():
    model, device = load_model(), torch.device("cuda")
    for world in (False, True):
        first, again = (DeviceGenerator(model, Recipe(112, world), device, 16)(1, 2) for _ in range(2))
        assert first.images.is_cuda and first.landmarks_px.is_cuda and first.codes.identity.is_cuda
        assert torch.equal(first.images, again.images)
        assert torch.equal(first.landmarks_px, again.landmarks_px)
        if not world:
            codes = first.codes.with_(**{n: getattr(first.codes, n).cpu() for n in first.codes.layout.shapes})
            drawn = render(model, numpy_codes(codes), (112, 112), detail=False, supersample=2).image_uint8
            assert (np.abs(first.images.cpu().numpy().astype(int) - drawn) > 1).mean() < 2e-3
