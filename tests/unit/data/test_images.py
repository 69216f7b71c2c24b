import io
import logging
import lzma
import os
import resource
import struct
import time
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from seriatim.core.errors import DataError, ImageError, ShapeError
from seriatim.data.images import from_pillow, read_label_map, read_pixels, to_float_image

ENDINGS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp"}


@pytest.fixture
def colours():
    """An image without symmetry: red top left, green top right, blue bottom left."""
    pixels = np.zeros((16, 24, 3), dtype=np.uint8)
    pixels[:8, :12, 0] = pixels[:8, 12:, 1] = pixels[8:, :12, 2] = 255
    return pixels


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
def test_pixels_come_back_exactly(colours, kind, tmp_path):
    path = tmp_path / f"image{ENDINGS[kind]}"
    Image.fromarray(colours).save(path, format=kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.array_equal(read_pixels(path), colours)


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_lossy_images_come_back_nearly(colours, kind, tmp_path):
    path = tmp_path / f"image{ENDINGS[kind]}"
    Image.fromarray(colours).save(path, format=kind)
    difference = np.abs(read_pixels(path)[..., :3].astype(int) - colours)
    assert difference.mean() < 12


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_exif_turn_is_undone(colours, turn, kind, tmp_path):
    stored = {
        1: colours,
        2: colours[:, ::-1],
        3: colours[::-1, ::-1],
        4: colours[::-1],
        5: colours.transpose(1, 0, 2),
        6: colours.transpose(1, 0, 2)[::-1],
        7: colours.transpose(1, 0, 2)[::-1, ::-1],
        8: colours.transpose(1, 0, 2)[:, ::-1],
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"turned{ENDINGS[kind]}"
    settings = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(path, format=kind, exif=exif, **settings)
    upright = read_pixels(path)
    assert upright.shape == colours.shape
    assert np.abs(upright.astype(int) - colours).max() <= (30 if kind == "JPEG" else 0)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_a_turned_image_of_16_bits_keeps_its_levels(ending, tmp_path):
    levels = np.arange(6, dtype=np.uint16).reshape(2, 3) * 9001
    path = tmp_path / f"turned{ending}"
    exif = Image.Exif()
    exif[0x0112] = 6
    if ending == ".tif":
        tifffile.imwrite(path, levels, extratags=[(274, 3, 1, 6, True)])
    else:
        Image.fromarray(levels).save(path, exif=exif)
    assert np.array_equal(read_pixels(path), np.rot90(levels, -1))


@pytest.mark.parametrize("mode", ["P", "CMYK", "1", "L"])
def test_a_turned_tiff_of_any_mode_is_turned_once(colours, mode, tmp_path):
    upright = Image.fromarray(colours).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.tif", exif=exif)
    assert np.array_equal(read_pixels(tmp_path / "turned.tif"), from_pillow(upright))


def test_a_damaged_exif_block_is_no_reason_to_refuse_the_pixels(colours, tmp_path):
    Image.fromarray(colours).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_pixels(tmp_path / "a.jpg").shape == colours.shape


def test_the_order_of_bytes_changes_nothing(tmp_path):
    levels = np.arange(1, 7, dtype=np.uint16).reshape(2, 3) * 1000
    tifffile.imwrite(tmp_path / "big.tif", levels, byteorder=">")
    for pixels in (read_pixels(tmp_path / "big.tif"), levels.astype(">u2"), levels.astype("<u2")):
        assert np.allclose(to_float_image(pixels)[0], levels / 65535)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_16_bits_keep_their_levels(ending, tmp_path):
    levels = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)
    path = tmp_path / f"deep{ending}"
    tifffile.imwrite(path, levels) if ending == ".tif" else Image.fromarray(levels).save(path)
    read = read_pixels(path)
    assert read.dtype == np.uint16
    assert np.array_equal(read, levels)
    assert np.allclose(to_float_image(read)[0], levels / 65535, atol=1e-7)


@pytest.mark.parametrize("dtype", ["uint32", "int16", "int32", "float32", "float64", "uint8", "bool"])
def test_tiffs_of_every_type_keep_their_levels(dtype, tmp_path):
    levels = (np.random.default_rng(0).random((20, 30)) * 1000).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", levels, photometric="minisblack")
    read = read_pixels(tmp_path / "a.tif")
    assert np.array_equal(read, levels)
    values = to_float_image(read)
    assert values.dtype == np.float32
    assert 0 <= values.min() <= values.max() <= 1
    assert (
        np.array_equal(np.argsort(values[0], axis=None, kind="stable"), np.argsort(levels, axis=None, kind="stable"))
        or dtype == "float64"
    )


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_tiffs_of_16_bit_colours_keep_their_levels(channels, planes, tmp_path):
    levels = np.random.default_rng(0).integers(0, 65536, (20, 30, channels), dtype=np.uint16)
    stored = levels if planes == "contig" else np.ascontiguousarray(np.moveaxis(levels, -1, 0))
    settings = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes, **settings)
    assert np.array_equal(read_pixels(tmp_path / "a.tif"), levels)


def test_a_tiff_whose_zero_is_white_is_shown_as_a_person_sees_it(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 255]], dtype=np.uint8), photometric="miniswhite")
    assert read_pixels(tmp_path / "a.tif").tolist() == [[255, 0]]


def test_a_tiff_with_compression_is_read(colours, tmp_path):
    for name in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        Image.fromarray(colours).save(tmp_path / f"{name}.tif", compression=name)
        read = read_pixels(tmp_path / f"{name}.tif")
        assert np.abs(read.astype(int) - colours).mean() < 10


def test_16_bits_with_lzw_compression_keep_their_levels(tmp_path):
    levels = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.array_equal(read_pixels(tmp_path / "a.tif"), levels)


def test_colours_of_16_bits_that_cannot_be_read_in_full_are_refused_with_a_way_out(tmp_path):
    entries = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, 3, 134),
        (259, 3, 1, 5),
        (262, 3, 1, 2),
        (273, 4, 1, 140),
        (277, 3, 1, 3),
        (279, 4, 1, 8),
    ]
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + b"\0" * 4
    data = b"II*\0" + struct.pack("<I", 8) + table
    (tmp_path / "a.tif").write_bytes(
        data.ljust(134, b"\0") + struct.pack("<HHH", 16, 16, 16) + b"\x80\x00\x20\x50\x38\x24\x16\x01"
    )
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        with pytest.raises(ImageError, match="16-bit colours with LZW compression need the package imagecodecs"):
            read_pixels(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_every_mode_of_pillow_is_taken(colours, mode):
    image = Image.fromarray(colours)
    image = Image.fromarray(colours[:, :, 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)
    pixels = from_pillow(image)
    assert pixels.shape[:2] == (16, 24)
    values = to_float_image(pixels)
    assert values.shape[0] in (1, 3, 4)
    if mode in ("P", "RGB", "RGBA", "CMYK", "YCbCr"):
        assert np.abs(values[:3] - colours.transpose(2, 0, 1) / 255).max() < 0.05


def test_a_bilevel_image_is_bool(tmp_path):
    Image.fromarray(np.eye(9, dtype=bool)).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png").dtype == bool
    assert np.array_equal(read_pixels(tmp_path / "a.png"), np.eye(9, dtype=bool))


def test_a_palette_gives_its_colours_and_its_transparency(colours, tmp_path):
    image = Image.fromarray(colours).quantize(8)
    image.save(tmp_path / "a.png")
    assert np.abs(read_pixels(tmp_path / "a.png").astype(int) - colours).max() < 8
    image.save(tmp_path / "b.png", transparency=0)
    assert read_pixels(tmp_path / "b.png").shape == (16, 24, 4)


def test_transparency_is_kept(colours, tmp_path):
    alpha = np.dstack((colours, np.full((16, 24), 77, dtype=np.uint8)))
    Image.fromarray(alpha).save(tmp_path / "a.png")
    assert np.array_equal(read_pixels(tmp_path / "a.png"), alpha)
    Image.fromarray(alpha[:, :, 2:]).save(tmp_path / "grey.png")
    assert read_pixels(tmp_path / "grey.png").shape == (16, 24, 4)


@pytest.mark.parametrize("ending", [".tif", ".gif", ".webp", ".png"])
def test_of_several_pages_the_first_is_taken_with_a_warning(ending, tmp_path, caplog):
    frames = [Image.fromarray(np.full((9, 8, 3), value, dtype=np.uint8)) for value in (10, 200)]
    path = tmp_path / f"pages{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if ending == ".webp" else {}))
    with caplog.at_level(logging.WARNING):
        pixels = read_pixels(path)
    assert pixels.shape[:2] == (9, 8)
    assert abs(int(pixels[..., 0].max()) - 10) <= 2
    assert "the first is taken" in caplog.text
    assert path.name in caplog.text


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_an_image_may_be_a_line_or_a_point(size, kind, tmp_path):
    path = tmp_path / f"thin{ENDINGS[kind]}"
    Image.fromarray(np.full(size, 100, dtype=np.uint8)).save(path, format=kind)
    assert read_pixels(path).shape[:2] == size


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_refused(value, tmp_path):
    levels = np.ones((5, 5), dtype=np.float32)
    levels[2, 3] = value
    tifffile.imwrite(tmp_path / "a.tif", levels)
    with pytest.raises(ImageError, match=r"a\.tif: has pixels that are not finite"):
        read_pixels(tmp_path / "a.tif")
    with pytest.raises(ShapeError, match="not finite"):
        to_float_image(levels)


def test_what_is_no_image_is_named_with_its_reason(tmp_path):
    for name, data in (
        ("empty.png", b""),
        ("text.jpg", b"hello"),
        ("empty.tif", b""),
        ("text.tif", b"hello"),
        ("start.tif", b"II*\0"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=name.replace(".", r"\.")):
            read_pixels(tmp_path / name)
    with pytest.raises(ImageError, match="no such file"):
        read_pixels(tmp_path / "none.png")
    with pytest.raises(ImageError, match="no such file"):
        read_pixels(tmp_path)


@pytest.mark.parametrize(("kind", "name"), [("TIFF", "a.png"), ("PNG", "a.tif"), ("JPEG", "a.bmp")])
def test_an_image_with_the_wrong_ending_is_read_all_the_same(colours, kind, name, tmp_path):
    Image.fromarray(colours).save(tmp_path / name, format=kind)
    assert read_pixels(tmp_path / name).shape == colours.shape


def test_a_format_that_is_not_opened_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(tmp_path / "a.png", format="PPM")
    with pytest.raises(ImageError, match="not an image in a known format"):
        read_pixels(tmp_path / "a.png")


def png_bomb(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj(9)
    line = b"\0" * (width // 8 + 1)
    data = b"".join(rows.compress(line * 1000) for _ in range(height // 1000)) + rows.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def tiff_bomb():
    entries = [
        (256, 4, 1, 20_000),
        (257, 4, 1, 20_000),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, 20_000),
        (279, 4, 1, 400_000_000),
    ]
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", len(entries))
        + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        + b"\0" * 4
    )


@pytest.mark.parametrize(
    ("name", "data"), [("bomb.png", png_bomb(20_000, 20_000)), ("bomb.tif", tiff_bomb())], ids=["png", "tiff"]
)
def test_a_bomb_of_400_megapixels_is_refused_at_once(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(ImageError, match=r"limit of \d+"):
        read_pixels(tmp_path / name)
    assert time.perf_counter() - started < 1


def strip_tiff(strip, width, height, channels=1, bits=8, compression=8):
    """A TIFF of one strip, whatever that holds."""
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits),
        (259, 3, compression),
        (262, 3, 1 if channels == 1 else 2),
    ]
    entries += [(273, 4, 8), (277, 3, channels), (278, 4, height), (279, 4, len(strip))]
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(strip))
        + strip
        + struct.pack("<H", len(entries))
        + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        + b"\0" * 4
    )


def zeros(packer, megabytes):
    return b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes)) + packer.flush()


BOMBS = {
    "a strip of 300 MB in an image of 10 kB": lambda: strip_tiff(zeros(zlib.compressobj(9), 300), 100, 100),
    "the same packed by LZMA": lambda: strip_tiff(zeros(lzma.LZMACompressor(), 300), 100, 100, compression=34925),
    "1.7 GB of 16-bit colours": lambda: strip_tiff(zeros(zlib.compressobj(9), 100), 17_000, 17_000, 3, 16),
    "a sparse file of 860 MB": lambda: strip_tiff(b"", 17_000, 17_000, 3, 8, 1),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_what_it_would_take_before_it_takes_it(name, tmp_path):
    (tmp_path / "bomb.tif").write_bytes(BOMBS[name]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with pytest.raises(ImageError, match=r"bomb\.tif: .*(limit of|unpacks to more|grow to)"):
        read_pixels(tmp_path / "bomb.tif")
    assert time.perf_counter() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_a_plain_image_may_be_packed_well(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4000, 4000), dtype=np.uint8), compression="zlib", tile=(64, 64))
    Image.new("L", (8000, 8000)).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.tif").shape == (4000, 4000)
    assert read_pixels(tmp_path / "a.png").shape == (8000, 8000)


def test_decoding_ends_when_the_time_is_up(colours, tmp_path, monkeypatch):
    random = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    Image.fromarray(random).save(tmp_path / "a.jpg", quality=100, progressive=True)
    monkeypatch.setattr("seriatim.data.images.MAX_SECONDS", -1.0)
    with pytest.raises(ImageError, match=r"a\.jpg: .*takes longer than"):
        read_pixels(tmp_path / "a.jpg")


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="is no regular file"):
        read_pixels(tmp_path / "a.png")
    with pytest.raises(DataError, match="is no regular file"):
        read_label_map(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(png_bomb(20_000, 20_000))
    with pytest.raises(DataError, match="exceeds limit"):
        read_label_map(tmp_path / "b.png")


def examples():
    """An image of each format, small and with many features."""
    random = np.random.default_rng(0)
    smooth = np.clip(
        np.add.outer(np.arange(40) * 3, np.arange(50) * 2)[:, :, None] + random.integers(0, 40, (40, 50, 3)), 0, 255
    ).astype(np.uint8)
    image, files = Image.fromarray(smooth), {}
    for name, kind, one, settings in (
        ("rgb.png", "PNG", image, {}),
        ("palette.png", "PNG", image.quantize(16), {"transparency": 3}),
        ("deep.png", "PNG", Image.fromarray(smooth[:, :, 0].astype(np.uint16) * 256), {}),
        ("rgb.jpg", "JPEG", image, {}),
        ("progressive.jpg", "JPEG", image, {"progressive": True}),
        ("cmyk.jpg", "JPEG", image.convert("CMYK"), {}),
        ("rgb.webp", "WEBP", image, {}),
        ("moving.webp", "WEBP", image, {"save_all": True, "append_images": [image.rotate(90, expand=False)]}),
        ("moving.gif", "GIF", image, {"save_all": True, "append_images": [image.rotate(180)]}),
        ("raw.tif", "TIFF", image, {}),
        ("lzw.tif", "TIFF", image, {"compression": "tiff_lzw"}),
        ("jpeg.tif", "TIFF", image, {"compression": "jpeg"}),
        ("palette.tif", "TIFF", image.quantize(16), {}),
        ("group4.tif", "TIFF", image.convert("1"), {"compression": "group4"}),
        ("rgb.bmp", "BMP", image, {}),
        ("palette.bmp", "BMP", image.quantize(16), {}),
    ):
        file = io.BytesIO()
        one.save(file, format=kind, **settings)
        files[name] = file.getvalue()
    deep = io.BytesIO()
    tifffile.imwrite(deep, smooth.astype(np.uint16) * 200, photometric="rgb", compression="zlib", tile=(16, 16))
    files["tiled.tif"] = deep.getvalue()
    return files


def mutant(data, random):
    """The file with bytes changed, cut off, doubled, removed or set to extremes, more often in its head."""
    data = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        place = int(random.integers(min(len(data), 200) if random.random() < 0.5 else len(data)))
        match int(random.integers(6)):
            case 0:
                data[place] ^= 1 << int(random.integers(8))
            case 1:
                data[place : place + 4] = random.bytes(4)
            case 2:
                data[place : place + 4] = random.choice(
                    [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"]
                )
            case 3:
                data = data[: max(place, 1)]
            case 4:
                del data[place : place + int(random.integers(1, 40))]
            case 5:
                data[place:place] = data[place : place + int(random.integers(1, 40))]
        if not data:
            break
    return bytes(data)


def try_mutants(tmp_path, count, seed):
    """Reads `count` mutants of every example; anything but an image or an `ImageError` escapes. Returns decoded, refused, slowest."""
    decoded = refused = 0
    slowest = 0.0
    for name, data in examples().items():
        random = np.random.default_rng((seed, len(name), len(data)))
        path = tmp_path / name
        for _ in range(count):
            path.write_bytes(mutant(data, random))
            started = time.perf_counter()
            try:
                to_float_image(read_pixels(path))
                decoded += 1
            except ImageError as error:
                refused += 1
                if name not in str(error):
                    raise AssertionError(f"{name} is not named: {error}") from error
            slowest = max(slowest, time.perf_counter() - started)
    return decoded, refused, slowest


def test_damaged_files_are_read_or_refused(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoded, refused, slowest = try_mutants(tmp_path, 25, seed=0)
    assert decoded > 20
    assert refused > 20
    assert slowest < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_three_thousand_damaged_files_are_read_or_refused(tmp_path, seed):
    assert try_mutants(tmp_path, 200, seed)[2] < 10


def test_floats_beyond_one_and_below_zero_are_brought_into_range():
    values = to_float_image(np.array([[-2.0, 0.0, 6.0]]))
    assert values.tolist() == [[[0.0, 0.25, 1.0]]]
    assert to_float_image(np.array([[0.2, 0.7]])).ravel().tolist() == pytest.approx([0.2, 0.7])
    assert to_float_image(np.array([[0, 500]], dtype=np.int32)).ravel().tolist() == [0.0, 1.0]


def test_grey_with_transparency_becomes_colour_with_transparency():
    values = to_float_image(np.full((2, 2, 2), 51, dtype=np.uint8))
    assert values.shape == (4, 2, 2)
    assert values[3].max() == pytest.approx(0.2)


def test_a_constant_image_is_no_division_by_zero():
    assert to_float_image(np.full((2, 2), -3.0)).max() == 0.0
    assert to_float_image(np.full((2, 2), 7.0)).max() == 1.0


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_maps_come_back_exactly(ending, dtype, tmp_path):
    labels = np.random.default_rng(0).integers(0, 200, (9, 7)).astype(dtype)
    path = tmp_path / f"labels{ending}"
    tifffile.imwrite(path, labels) if ending == ".tif" else Image.fromarray(labels).save(path)
    assert np.array_equal(read_label_map(path), labels)
    assert read_label_map(path).dtype == np.int32


def test_a_palette_label_map_holds_its_indices(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 2]], dtype=np.uint8))
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "a.png")
    assert read_label_map(tmp_path / "a.png").tolist() == [[0, 1], [2, 2]]


def test_what_is_no_label_map_is_named_with_its_reason(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "float.tif", np.ones((3, 3), dtype=np.float32))
    tifffile.imwrite(tmp_path / "negative.tif", np.full((3, 3), -1, dtype=np.int16))
    tifffile.imwrite(tmp_path / "huge.tif", np.full((3, 3), 2**32 - 1, dtype=np.uint32))
    (tmp_path / "text.png").write_text("hello")
    for name in ("colour.png", "float.tif", "negative.tif", "huge.tif", "text.png", "none.png", "none.tif"):
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            read_label_map(tmp_path / name)
