"""Picture files and colour spaces: the only place that knows EXIF, palettes, profiles and uint8.

Elsewhere a picture is (H, W, 3) float32, sRGB in [0, 1].
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from mien.errors import UnreadableInput
from mien.files import write_whole

MAX_MEGAPIXELS = 178
"""Larger pictures are refused before they are decoded. Pillow's own hard limit; 200 bytes can claim more."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000", "TGA")
"""What is read, by Pillow's names. Formats that run other programs (EPS) are not among them."""

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Diagonal of a frame of 35 mm film."""


def srgb_to_linear(srgb: Any) -> Any:
    """Decodes sRGB (IEC 61966-2-1): (...) in [0, 1] to (...) linear light in [0, 1]. NumPy or torch."""
    xp = array_namespace(srgb)
    power = ((xp.where(srgb > 0.04045, srgb, 0.04045) + 0.055) / 1.055) ** 2.4
    return xp.where(srgb <= 0.04045, srgb / 12.92, power)


def linear_to_srgb(linear: Any) -> Any:
    """Encodes sRGB (IEC 61966-2-1): (...) linear light to (...); inverse of `srgb_to_linear`. NumPy or torch.

    Does not clip. The clip inside keeps the root's infinite slope at 0 out of the gradient.
    """
    xp = array_namespace(linear)
    root = 1.055 * xp.where(linear > 0.0031308, linear, 0.0031308) ** (1 / 2.4) - 0.055
    return xp.where(linear <= 0.0031308, 12.92 * linear, root)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """(...) floats in [0, 1] to (...) uint8, rounded to the nearest; values outside are clipped."""
    pixels = np.empty(image.shape, np.uint8)
    flat, values = pixels.reshape(-1), np.ascontiguousarray(image).reshape(-1)
    for start in range(0, flat.size, 1 << 16):  # pieces that stay in the cache: three times as fast
        piece = values[start : start + (1 << 16)] * np.float32(255)
        flat[start : start + (1 << 16)] = np.rint(np.clip(piece, 0, 255, out=piece), out=piece)
    return pixels


def load_image(path: str | os.PathLike) -> np.ndarray:
    """Reads a photograph as people see it: turned by its EXIF orientation, colours converted to sRGB.

    Grey, palette, 1-bit, 16-bit and CMYK pictures become RGB by their embedded colour profile if they have
    one; transparent ones are laid over white, as viewers do; of several frames or pages the first is taken.
    Returns floats, the project's one currency, although most files hold bytes: a 12-megapixel photo takes
    144 MB, and `to_uint8` gives back the very bytes.

    Args:
        path: a file of one of `FORMATS`, of at most `MAX_MEGAPIXELS`.

    Returns:
        (H, W, 3) float32, sRGB in [0, 1].

    Raises:
        UnreadableInput: missing, a folder, not permitted, empty, truncated, too large, or no such picture.
    """
    with _quiet_open(path) as picture:
        try:
            picture.load()
            return _to_array(_upright(picture))
        except UnreadableInput:
            raise
        except MemoryError as error:
            raise UnreadableInput(f"{path}: too large for this machine's memory; scale it down") from error
        except Exception as error:  # decoders raise anything on damaged data
            raise UnreadableInput(
                f"{path}: damaged or truncated {picture.format} file ({_one_line(error)}); get it again"
            ) from error


def focal_px_from_exif(path: str | os.PathLike) -> float | None:
    """Focal length in pixels of the uncropped photograph in `path`, or None if its EXIF does not tell.

    From the tag FocalLengthIn35mmFilm, which compares diagonal angles of view (CIPA DCG-001; Exif 2.32, tag
    0xA405): focal_px = focal_35mm * picture diagonal / diagonal of 35 mm film. Trusted only if the pixel size
    that the camera noted is the file's, because cropping and scaling leave the tag as it was, and if it lies
    between 8 and 2,000 mm.

    Raises:
        UnreadableInput: as `load_image`.
    """
    with _quiet_open(path) as picture:
        try:
            exif = picture.getexif().get_ifd(ExifTags.IFD.Exif)
            focal_35mm = float(exif[ExifTags.Base.FocalLengthIn35mmFilm])
            noted = int(exif[ExifTags.Base.ExifImageWidth]), int(exif[ExifTags.Base.ExifImageHeight])
        except Exception:  # no EXIF, or damaged EXIF, which Pillow reports by anything
            return None
        if sorted(noted) != sorted(picture.size) or not 8.0 <= focal_35mm <= 2000.0:
            return None
        return focal_35mm * math.hypot(*picture.size) / FILM_DIAGONAL_MM


def png_bytes(image: np.ndarray) -> bytes:
    """A PNG file of an (H, W, 3) or (H, W, 4) picture, floats in [0, 1] or uint8."""
    return _encoded(image, "PNG", compress_level=6)


def jpeg_bytes(image: np.ndarray, quality: int = 92) -> bytes:
    """A JPEG file of an (H, W, 3) picture, floats in [0, 1] or uint8."""
    return _encoded(image, "JPEG", quality=quality, subsampling=0)


def save_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes an (H, W, 3) or (H, W, 4) picture, whole or not at all.

    Raises:
        CannotWrite: as `mien.files.write_whole`.
    """
    write_whole(path, png_bytes(image))


def _encoded(image: np.ndarray, format_name: str, **options: Any) -> bytes:
    pixels = image if image.dtype == np.uint8 else to_uint8(image)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_name, **options)
    return buffer.getvalue()


@contextlib.contextmanager
def _quiet_open(path: str | os.PathLike):
    """The opened, not yet decoded picture. Pillow's warnings are silenced while it is open."""
    path = Path(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _readable(path) as stream:
            Image.init()
            try:
                picture = Image.open(stream, formats=[name for name in FORMATS if name in Image.OPEN])
            except Image.DecompressionBombError as error:
                raise UnreadableInput(
                    f"{path}: larger than the limit of {MAX_MEGAPIXELS} megapixels; scale it down"
                ) from error
            except UnidentifiedImageError as error:
                raise UnreadableInput(f"{path}: {_unknown_format(stream)}") from error
            except Exception as error:  # parsers of damaged headers raise anything
                raise UnreadableInput(
                    f"{path}: damaged picture ({_one_line(error)}); get it again"
                ) from error
            with picture:
                yield picture


@contextlib.contextmanager
def _readable(path: Path):
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableInput(f"{path}: is a folder, not a picture; name the pictures inside it")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableInput(f"{path}: is not a regular file; save the picture to a file first")
        if status.st_size == 0:
            raise UnreadableInput(f"{path}: is empty (0 bytes); get the picture again")
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise UnreadableInput(f"{path}: no such file; check the name") from error
    except PermissionError as error:
        raise UnreadableInput(
            f"{path}: may not be read (permission denied); change its permissions"
        ) from error
    except OSError as error:
        raise UnreadableInput(
            f"{path}: cannot be read ({error.strerror}); check the name and the disk"
        ) from error
    with stream:
        yield stream


def _unknown_format(stream: io.BufferedReader) -> str:
    stream.seek(0)
    start = stream.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in (
        b"heic",
        b"heix",
        b"hevc",
        b"heim",
        b"heis",
        b"mif1",
        b"msf1",
    ):
        return "HEIC pictures are not supported; convert it to JPEG or PNG first"
    return "not a picture, or of an unknown format; give a JPEG, PNG, WebP, TIFF, GIF or BMP file"


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF, which Pillow reports by anything: the pixels are still good
        orientation = None
    return picture.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else picture


def _to_array(picture: Image.Image) -> np.ndarray:
    """(H, W, 3) float32 sRGB of a decoded picture of any mode."""
    if picture.mode.startswith(("I", "F")):
        return _deep_grey(picture)
    if picture.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    picture = _to_srgb(picture)
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    pixels = np.asarray(picture.convert("RGB"))
    return np.divide(pixels, np.float32(255), dtype=np.float32)


def _deep_grey(picture: Image.Image) -> np.ndarray:
    """(H, W, 3) float32 of a grey picture of 16 bits, or of floats in [0, 1]."""
    values = np.asarray(picture, dtype=np.float32)
    if picture.mode != "F":
        values = values / np.float32(65535)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"mode {picture.mode} with values that are neither 16-bit nor floats in [0, 1]")
    return np.repeat(values[:, :, None], 3, axis=2)


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Converts by the embedded colour profile; unusable profiles are passed over, as browsers do."""
    profile = picture.info.get("icc_profile")
    if profile and b"sRGB" not in profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            output = "RGBA" if picture.mode == "RGBA" else "RGB"
            return ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode=output,
            )
    return picture


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
