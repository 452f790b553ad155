"""Pictures from files: what is read as what, and what is refused."""

import io
import sys

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pyggml.errors import ImageError, MissingExtraError
from pyggml.image import read_image

COLOURS = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def read(data: bytes) -> npt.NDArray[np.uint8]:
    return read_image(data, "a.png")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_colours_come_back(kind: str) -> None:
    np.testing.assert_array_equal(read(saved(Image.fromarray(COLOURS), kind)), COLOURS)


def test_a_jpeg_and_a_webp_come_back_nearly() -> None:
    flat = np.full((32, 48, 3), (200, 100, 50), np.uint8)
    for kind in ("JPEG", "WEBP"):
        found = read(saved(Image.fromarray(flat), kind))
        assert found.shape == flat.shape
        assert np.abs(found.astype(int) - flat).max() <= 8


def test_a_turned_photograph_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    found = read(saved(Image.fromarray(COLOURS), exif=exif))
    np.testing.assert_array_equal(found, np.rot90(COLOURS, -1))


def test_transparency_is_left_aside() -> None:
    alpha = np.zeros((5, 7, 1), np.uint8)
    np.testing.assert_array_equal(read(saved(Image.fromarray(np.concatenate([COLOURS, alpha], axis=2)))), COLOURS)
    grey = Image.merge("LA", [Image.fromarray(COLOURS[..., 0]), Image.new("L", (7, 5))])
    np.testing.assert_array_equal(read(saved(grey)), np.repeat(COLOURS[..., :1], 3, axis=2))


def test_of_16_bits_the_upper_8_are_taken() -> None:
    deep = np.array([[0, 255, 256], [0x1234, 0xFF00, 0xFFFF]], np.uint16)
    found = read(saved(Image.fromarray(deep)))
    np.testing.assert_array_equal(found, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(data)[0, 0].tolist() == [255, 0, 0]


def test_palettes_and_single_bits_become_colours() -> None:
    palette = Image.fromarray(COLOURS).quantize(8)
    np.testing.assert_array_equal(read(saved(palette)), np.asarray(palette.convert("RGB")))
    assert read(saved(Image.new("1", (3, 2), 1))).tolist() == [[[255] * 3] * 3] * 2


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7\n", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"a\.png: this is no picture that can be read; allowed are PNG"):
        read(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_picture_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"a\.png: the picture is damaged: .*; save it anew"):
        read(data[: len(data) // 2])


@pytest.mark.parametrize("size", [(20_000, 20_000), (9_000, 9_000)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"a\.png: the picture is too large.* allowed are 80000000"):
        read(saved(Image.new("1", size)))


def test_a_picture_of_floats_is_refused() -> None:
    with pytest.raises(ImageError, match="the picture has floating-point numbers; allowed are 8 and 16 bits"):
        read(saved(Image.new("F", (2, 2)), "TIFF"))


def test_without_pillow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pyggml\[image\]"'):
        read(b"")
