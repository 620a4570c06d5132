"""Picture files of every kind, read as people see them; colour spaces; clear errors."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from mien.errors import UnreadableInput
from mien.image import (
    FILM_DIAGONAL_MM,
    focal_px_from_exif,
    jpeg_bytes,
    linear_to_srgb,
    load_image,
    save_png,
    srgb_to_linear,
    to_uint8,
)

COLOURS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 255], [0, 0, 0], [90, 120, 30]]], "u1"
)


def corners(image):
    return to_uint8(image[[0, 0, -1, -1], [0, -1, 0, -1]]).tolist()


def test_srgb_known_values():
    """From IEC 61966-2-1: the knee, mid grey of 8 bits, and the ends."""
    srgb = np.array([0.0, 0.04045, 128 / 255, 1.0])
    expected = [0.0, 0.04045 / 12.92, 0.2158605, 1.0]
    assert np.allclose(srgb_to_linear(srgb), expected, atol=1e-6)


@pytest.mark.parametrize("array", [np.asarray, torch.asarray])
def test_srgb_round_trip(array):
    values = array(np.linspace(0, 1, 1001))
    back = linear_to_srgb(srgb_to_linear(values))
    assert type(back) is type(values) and back.dtype == values.dtype
    assert np.allclose(np.asarray(back), np.asarray(values), atol=1e-6)


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_srgb_gradients(function):
    values = torch.tensor([0.0, 0.001, 0.02, 0.3, 1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, values)
    function(values).sum().backward()
    assert torch.isfinite(values.grad).all()


def test_to_uint8_inverts_load(tmp_path):
    bytes_ = np.arange(256, dtype="u1").reshape(16, 16, 1).repeat(3, axis=2)
    save_png(tmp_path / "ramp.png", bytes_)
    image = load_image(tmp_path / "ramp.png")
    assert image.dtype == np.float32 and image.min() == 0 and image.max() == 1
    assert (to_uint8(image) == bytes_).all()
    assert to_uint8(np.array([-0.5, 0.4 / 255, 0.6 / 255, 2.0])).tolist() == [0, 0, 1, 255]


def test_float_pictures_survive_a_png(tmp_path):
    image = np.random.default_rng(0).random((7, 5, 3), dtype=np.float32)
    save_png(tmp_path / "a.png", image)
    assert np.abs(load_image(tmp_path / "a.png") - image).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "I;16", "CMYK", "F"])
@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "gif", "webp", "bmp"])
def test_every_mode_and_format(tmp_path, mode, extension):
    """Black, white and grey look the same whatever holds them."""
    grey = np.zeros((32, 48), "u1")
    grey[:, 16:32], grey[:, 32:] = 128, 255
    if mode == "1":
        grey[:, 16:32] = 255
    if mode == "I;16":
        picture = Image.fromarray(grey.astype("u2") * 257)
    elif mode == "F":
        picture = Image.fromarray(grey.astype("f4") / np.float32(255))
    else:
        picture = Image.fromarray(grey).convert("RGB").convert(mode, palette=Image.Palette.ADAPTIVE)
    path = tmp_path / f"a.{extension}"
    if mode in ("I;16", "F") and extension in ("gif", "webp"):
        pytest.skip(f"Pillow writes another picture for {mode}")
    try:
        picture.save(path)
    except (OSError, KeyError, ValueError):
        pytest.skip(f"no {mode} in {extension}")
    image = load_image(path)
    assert image.shape == (32, 48, 3) and image.dtype == np.float32
    assert np.abs(image[16, [8, 24, 40]] * 255 - grey[16, [8, 24, 40], None]).max() < 3


def test_16_bit_rgb_png(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    rows = b"\0" + struct.pack(">6H", 65535, 32896, 0, 257, 514, 771)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "deep.png").write_bytes(data)
    assert to_uint8(load_image(tmp_path / "deep.png")).tolist() == [[[255, 128, 0], [1, 2, 3]]]


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), "u1")
    rgba[0, :, 0], rgba[0, :, 3] = 255, [0, 128, 255]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert to_uint8(load_image(tmp_path / "a.png"))[0].tolist() == [
        [255, 255, 255],
        [255, 127, 127],
        [255, 0, 0],
    ]


def test_transparent_palette_colour(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], "u1")).convert("P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "a.png", transparency=0)
    assert to_uint8(load_image(tmp_path / "a.png"))[0].tolist() == [[255, 255, 255], [200, 100, 50]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    """Stored as the camera held it, read upright."""
    undo = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](COLOURS)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert (to_uint8(load_image(tmp_path / "a.png")) == COLOURS).all()


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert corners(load_image(tmp_path / "a.gif")) == [[255, 0, 0]] * 4


def test_colour_profile_is_converted(tmp_path):
    """A Lab profile stands for any profile that is not sRGB's: its own white and grey come out neutral."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.new("LAB", (4, 4), (128, 128, 128)).save(tmp_path / "a.tif", icc_profile=profile)
    red, green, blue = to_uint8(load_image(tmp_path / "a.tif"))[0, 0].astype(int)
    assert abs(red - 119) < 4 and abs(green - 119) < 4 and abs(blue - 119) < 4


def photo_with_exif(path, size, noted, focal_35mm):
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA405: focal_35mm, 0xA002: noted[0], 0xA003: noted[1]})
    Image.new("RGB", size).save(path, exif=exif)


def test_focal_length(tmp_path):
    """On a frame of film's own shape 36 mm spans the width; cropped or absurd files tell nothing."""
    path = tmp_path / "a.jpg"
    photo_with_exif(path, (360, 240), (360, 240), 36)
    assert focal_px_from_exif(path) == pytest.approx(360)
    photo_with_exif(path, (240, 320), (320, 240), 50)
    assert focal_px_from_exif(path) == pytest.approx(400 * 50 / FILM_DIAGONAL_MM)
    photo_with_exif(path, (360, 240), (720, 480), 36)
    assert focal_px_from_exif(path) is None
    photo_with_exif(path, (360, 240), (360, 240), 0)
    assert focal_px_from_exif(path) is None
    path.write_bytes(jpeg_bytes(COLOURS))
    assert focal_px_from_exif(path) is None


def write_bomb(path):
    header = struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\x01IDAT" + bytes(100))


def bad_files(folder):
    """Name of each bad file, and what its message must say."""
    whole = jpeg_bytes(np.random.default_rng(0).random((64, 64, 3)))
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), "u1")).save(buffer, "PNG")
    (folder / "empty.jpg").touch()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "truncated.png").write_bytes(buffer.getvalue()[:3000])
    (folder / "headless.png").write_bytes(buffer.getvalue()[:20])
    (folder / "notes.jpg").write_text("this is no picture")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (folder / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (folder / "folder.jpg").mkdir()
    (folder / "broken_link.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    write_bomb(folder / "bomb.png")
    return {
        "missing.jpg": "no such file", "empty.jpg": "0 bytes", "truncated.jpg": "truncated",
        "truncated.png": "truncated", "headless.png": "get it again|not a picture",
        "notes.jpg": "not a picture", "phone.heic": "HEIC", "page.eps": "not a picture",
        "folder.jpg": "is a folder", "broken_link.jpg": "no such file", "pipe.jpg": "regular file",
        "bomb.png": "178 megapixels", "x" * 300: "cannot be read",
    }  # fmt: skip


def test_errors_name_the_file_and_the_way_out(tmp_path):
    for name, words in bad_files(tmp_path).items():
        for read in (load_image, focal_px_from_exif):
            if read is focal_px_from_exif and name.startswith("truncated"):
                continue
            with pytest.raises(UnreadableInput, match=words) as caught:
                read(tmp_path / name)
            message = str(caught.value)
            assert message.startswith(str(tmp_path / name)) and "\n" not in message and ";" in message, (
                message
            )


def test_nothing_on_standard_error(tmp_path):
    """Not even from C libraries, for whole and for bad files."""
    names = list(bad_files(tmp_path))
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "TIFF", compression="tiff_lzw")
    (tmp_path / "damaged.tif").write_bytes(buffer.getvalue()[:150] + bytes(50) + buffer.getvalue()[200:])
    code = (
        "import sys; from mien.image import load_image; from mien.errors import UnreadableInput\n"
        "for name in sys.argv[1:]:\n"
        "    try: load_image(name)\n"
        "    except UnreadableInput: pass"
    )
    files = [str(tmp_path / name) for name in [*names, "damaged.tif"] if "\0" not in name]
    run = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    save_png(tmp_path / "a.png", COLOURS)
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(UnreadableInput, match="permission denied"):
        load_image(tmp_path / "a.png")
