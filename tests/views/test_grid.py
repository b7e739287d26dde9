"""The grid of images: equal cells, positions of images, titles that fit, number of pages."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image, ImageFont

from npresnet.errors import ImageError
from npresnet.views import fonts, grid

WIDTH = 2 * grid.MARGIN + 4 * grid.CELL + 3 * grid.GAP
ROW = grid.TITLE + grid.CELL + grid.GAP
HEIGHT = 2 * grid.MARGIN + 4 * (grid.TITLE + grid.CELL) + 3 * grid.GAP


ONE = (2 * grid.MARGIN + grid.CELL, 2 * grid.MARGIN + grid.TITLE + grid.CELL)  # the size of a page of one picture


def colour(number: int) -> tuple[int, int, int]:
    return (10 * number, 255 - 10 * number, 5 * number)


def plain(number: int, height: int = 50, width: int = 50) -> np.ndarray:
    return np.full((height, width, 3), colour(number), np.uint8)


def cell(page: Image.Image, number: int) -> np.ndarray:
    """The pixels of a cell's picture, without its title."""
    left = grid.MARGIN + number % 4 * (grid.CELL + grid.GAP)
    top = grid.MARGIN + number // 4 * (grid.TITLE + grid.CELL + grid.GAP) + grid.TITLE
    return np.asarray(page.crop((left, top, left + grid.CELL, top + grid.CELL)))


def title(page: Image.Image, number: int) -> np.ndarray:
    left = grid.MARGIN + number % 4 * (grid.CELL + grid.GAP)
    top = grid.MARGIN + number // 4 * (grid.TITLE + grid.CELL + grid.GAP)
    return np.asarray(page.crop((left, top, left + grid.CELL, top + grid.TITLE)))


def is_white(pixels: np.ndarray) -> bool:
    return bool((pixels == 255).all())


def test_one_page(tmp_path):
    path = tmp_path / "out.png"
    assert grid.save_pages(path, [(plain(n), f"predict:{n}") for n in range(6)]) == [str(path)]
    page = Image.open(path)
    assert (page.mode, page.size) == ("RGB", (WIDTH, HEIGHT - 2 * ROW)), "two rows; there is no white paper below"
    for number in range(8):
        if number < 6:
            assert (cell(page, number) == colour(number)).all()
            assert not is_white(title(page, number))
        else:
            assert is_white(cell(page, number))
            assert is_white(title(page, number))


def test_nothing_is_drawn_outside_the_cells():
    page = np.asarray(grid.draw_page([(plain(n, 30, 90), "a long title, gjpqy " * 9) for n in range(16)]))
    assert is_white(page[: grid.MARGIN])
    assert is_white(page[-grid.MARGIN :])
    assert is_white(page[:, : grid.MARGIN])
    assert is_white(page[:, -grid.MARGIN :])
    for number in range(3):
        left = grid.MARGIN + (number + 1) * grid.CELL + number * grid.GAP
        assert is_white(page[:, left : left + grid.GAP])


@pytest.mark.parametrize(("count", "pages"), [(0, 0), (1, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_number_of_pages(tmp_path, count, pages):
    expected = ["out.png", "out-2.png", "out-3.png"][:pages]
    written = grid.save_pages(tmp_path / "out.png", ((plain(n % 20), str(n)) for n in range(count)))
    assert written == [str(tmp_path / name) for name in expected]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)
    if count == 17:
        assert (cell(Image.open(written[1]), 0) == colour(16)).all()
        assert Image.open(written[0]).size == (WIDTH, HEIGHT)
        assert Image.open(written[1]).size == ONE


def test_pages_are_written_as_pictures_arrive(tmp_path):
    def pictures():
        for number in range(20):
            if number == 18:
                assert (tmp_path / "out.png").exists()
            yield plain(number), str(number)

    assert len(grid.save_pages(tmp_path / "out.png", pictures())) == 2


@pytest.mark.parametrize("suffix", ["pdf", "tif"])
def test_formats_that_hold_all_pages(tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    assert grid.save_pages(path, ((plain(n % 20), str(n)) for n in range(33))) == [str(path)]
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    if suffix == "tif":
        assert Image.open(path).n_frames == 3
    else:
        assert path.read_bytes().count(b"/Type /Page\n") == 3


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp", "PNG"])
def test_other_formats(tmp_path, suffix):
    (path,) = grid.save_pages(tmp_path / f"out.{suffix}", [(plain(3), "three")])
    assert Image.open(path).size == ONE


@pytest.mark.parametrize(("height", "width"), [(10, 20), (448, 224), (1, 5), (3000, 20), (32, 32)])
def test_pictures_keep_their_shape(height, width):
    pixels = cell(grid.draw_page([(plain(7, height, width), "seven")]), 0)
    rows, columns = np.nonzero((pixels != 255).any(axis=2))
    scale = grid.CELL / max(height, width)
    assert np.ptp(rows) + 1 == max(1, round(height * scale))
    assert np.ptp(columns) + 1 == max(1, round(width * scale))
    assert abs((columns.min() + columns.max()) / 2 - (grid.CELL - 1) / 2) <= 0.5  # centred
    assert rows.min() == 0  # directly below its title


def test_small_pictures_show_their_pixels():
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    assert np.array_equal(cell(grid.draw_page([(pixels, "noise")]), 0), pixels.repeat(7, axis=0).repeat(7, axis=1))


def test_picture_types():
    rgba = Image.new("RGBA", (8, 8), (1, 2, 3, 0))
    page = grid.draw_page([(np.full((8, 8), 9, np.uint8), "grey"), (rgba, "RGBA"), (None, "unreadable")])
    assert (cell(page, 0) == 9).all()
    assert (cell(page, 1) == (1, 2, 3)).all()
    frame = cell(page, 2)
    assert is_white(frame[1:-1, 1:-1])
    assert (frame[0] == grid.FAINT).all()
    assert not is_white(title(page, 2))


TITLES = ["predict:ants", "predict:European fire salamander", "predict:" + "very " * 40 + "long", "W" * 100_000, ""]
TITLES += ["predict:Œuvre – é", "predict:蟻", "two\nlines\tand\rmore", "\0\x07", "‮"]


@pytest.mark.parametrize("text", TITLES, ids=lambda text: ascii(text[:20]))
@pytest.mark.filterwarnings("ignore:no installed font")
def test_titles_fit(text):
    drawn, font = grid.fit_title(text, grid.CELL)
    assert font.getlength(drawn) <= grid.CELL
    assert "\n" not in drawn
    grid.draw_page([(None, text)])


def test_titles_are_shortened_only_if_necessary():
    assert grid.fit_title("predict:ants", grid.CELL)[0] == "predict:ants"
    shortened = grid.fit_title("predict:" + "very " * 40 + "long", grid.CELL)[0]
    assert shortened.startswith("predict:very very")
    assert shortened.endswith("...")
    assert not shortened.endswith(" ...")


@pytest.fixture
def no_font(monkeypatch):
    """No font of the system's."""
    monkeypatch.setattr(fonts, "_fonts", lambda: ())
    monkeypatch.setattr(fonts, "_told", [])
    fonts._font_with.cache_clear()
    yield
    fonts._font_with.cache_clear()


def test_letters_missing_in_all_fonts_become_codes_and_that_is_said_once(no_font):
    with pytest.warns(UserWarning, match=r"no installed font has all letters of 'predict:café .*Noto"):
        assert grid.fit_title("predict:café ñandú 蟻", 400)[0] == r"predict:cafe nandu \u87fb"
    assert grid.fit_title("猫", 400)[0] == r"\u732b"  # without a second warning, which would be an error


def test_accents_alone_are_dropped_without_a_word(no_font):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert grid.fit_title("café", 400)[0] == "cafe"


def test_a_font_that_has_the_letters_is_used(monkeypatch):
    """Of several fonts the one without empty boxes, wherever it lies."""
    tried = [name for name in ("DejaVuSans.ttf", "DejaVuSansMono.ttf") if fonts.system_font(name, 12)]
    if not tried:
        pytest.skip("no DejaVu fonts")
    monkeypatch.setattr(fonts, "_fonts", lambda: tuple(tried))
    monkeypatch.setattr(fonts, "_has", lambda path, letter: path == tried[-1] or letter == "é")
    fonts._font_with.cache_clear()
    assert grid.fit_title("Собака é", 400)[1] is fonts.system_font(tried[-1], 17)
    assert grid.fit_title("é", 400)[1] is fonts.system_font(tried[0], 17)
    fonts._font_with.cache_clear()


def test_an_empty_box_is_no_letter():
    name = next((name for name in fonts.SYSTEM_FONTS[:2] if fonts.system_font(name, 12)), None)
    if name is None:
        pytest.skip("no system font")
    assert fonts._has(name, "é")
    assert fonts._has(name, "Ж")
    assert not fonts._has(name, "猫"), "DejaVu and Noto Sans have no Chinese"


@pytest.mark.parametrize(
    ("score", "text"), [(0.99, "99 %"), (1.0, "100 %"), (0.504, "50 %"), (0.004, "0 %"), (float("nan"), "? %")]
)
def test_percent(score, text):
    assert grid.title_of("dog", score, "a/b/dog.jpg") == f"dog {text}\ndog.jpg"


def test_a_long_label_keeps_its_probability_and_a_long_name_its_ending(monkeypatch):
    drawn = []
    fit_title = grid.fit_title
    monkeypatch.setattr(grid, "fit_title", lambda *args: drawn.append(fit_title(*args)) or drawn[-1])
    grid.draw_page([(None, grid.title_of("West Highland white terrier " * 9, 0.5, "photo " * 70 + "end.jpg"))])
    (label, font), (name, small) = drawn
    assert label.startswith("West Highland")
    assert label.endswith("... 50 %")
    assert name.endswith("end.jpg")
    assert max(font.getlength(label), small.getlength(name)) <= grid.CELL


def test_a_second_line_is_below_the_first():
    one, two = (title(grid.draw_page([(None, text)]), 0) for text in ("dog 99 %", "dog 99 %\nphoto.jpg"))
    half = grid.TITLE // 2 + 2
    assert np.array_equal(one[:half], two[:half])
    assert is_white(one[half:])
    assert not is_white(two[half:])


@pytest.mark.filterwarnings("ignore:no installed font")
def test_without_freetype(monkeypatch):
    fixed = (
        ImageFont.load_default_imagefont() if hasattr(ImageFont, "load_default_imagefont") else ImageFont.load_default()
    )
    assert not isinstance(fixed, ImageFont.FreeTypeFont)
    monkeypatch.setattr(fonts, "_font_with", lambda letters: None)
    monkeypatch.setattr(fonts, "built_in_font", lambda size: fixed)
    page = grid.draw_page([(plain(4), "predict:an animal with a long name, 蟻, gjpqy")])
    assert not is_white(title(page, 0))
    assert (cell(page, 0) == colour(4)).all()


@pytest.mark.parametrize("name", ["out", "out.txt", "out.png/", "absent/out.png", "absent/out.pdf"])
def test_pages_that_cannot_be_written(tmp_path, name):
    with pytest.raises(ImageError, match="written"):
        grid.save_pages(f"{tmp_path}/{name}", [(plain(1), "one")])
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_name_is_refused_before_the_first_picture_is_requested(tmp_path):
    def pictures():
        raise AssertionError("a picture was requested")
        yield

    with pytest.raises(ImageError, match="use a name that ends in"):
        grid.save_pages(tmp_path / "out.xyz", pictures())


@pytest.mark.parametrize("suffix", ["png", "tif", "pdf"])
def test_a_failure_keeps_the_old_file(tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    path.write_bytes(b"old")

    def pictures():
        for number in range(17):
            if number == (5 if suffix == "png" else 16):
                raise ImageError("dog.jpg is empty")
            yield plain(number), str(number)

    with pytest.raises(ImageError, match=r"^dog.jpg is empty$"):
        grid.save_pages(path, pictures())
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
