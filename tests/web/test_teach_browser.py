"""The page "Teach me a symbol" in a browser: drawn on with a mouse and a finger, and used with the keyboard alone."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page, expect

import fewstep

RESULTS = Path(__file__).parents[2] / "results"
CROSS = [[(0.5, 0.1), (0.5, 0.9)], [(0.1, 0.5), (0.9, 0.5)]]
ANGLE = [[(0.2, 0.1), (0.2, 0.8), (0.8, 0.8)]]
RULES = [[(0.1, 0.2), (0.9, 0.2)], [(0.1, 0.8), (0.9, 0.8)]]
SMALL_ANGLE = [[(0.5, 0.55), (0.5, 0.75), (0.7, 0.77)]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    shutil.copytree(RESULTS / "strokes-5w1s-maml", root / "five")
    return root


@pytest.fixture
def teach(page: Page) -> Page:
    """The page as it opens: three empty symbols."""
    page.goto("/")
    expect(page.get_by_label("Model").locator("option")).to_have_count(4)
    return page


def draw(page: Page, pad: Locator, strokes: list[list[tuple[float, float]]]) -> None:
    box = pad.bounding_box()
    assert box is not None
    for stroke in strokes:
        first, *others = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*first)
        page.mouse.down()
        for point in others:
            page.mouse.move(*point, steps=4)
        page.mouse.up()


def name(page: Page) -> Locator:
    return page.locator("#named b")


def test_a_small_drawing_of_a_taught_symbol_is_named_and_the_model_downloads(teach: Page, tmp_path: Path) -> None:
    for i, (called, strokes) in enumerate({"cross": CROSS, "angle": ANGLE, "rules": RULES}.items()):
        teach.get_by_label("Name of the symbol").nth(i).fill(called)
        draw(teach, teach.locator("#symbols .pad").nth(i), strokes)
    expect(teach.locator("#taught")).to_contain_text("3 symbols learned")
    draw(teach, teach.locator("#query .pad"), SMALL_ANGLE)
    expect(name(teach)).to_have_text("angle")
    expect(teach.locator("#said")).to_have_text(re.compile(r"angle, \d+ percent"))
    expect(teach.locator("#bars tr")).to_have_count(3)
    expect(teach.locator("#strip li")).to_have_count(4)
    expect(teach.locator("#strip li").last).to_contain_text("After 3 steps")
    expect(teach.locator("#novelty")).to_contain_text("Like what you taught me")
    with teach.expect_download() as download:
        teach.get_by_role("link", name="Download the model").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    angle = Image.new("L", (105, 105), 255)
    ImageDraw.Draw(angle).line([(25, 22), (25, 82), (82, 82)], fill=0, width=4)
    angle.save(tmp_path / "drawing.png")
    model: Any = fewstep.load(file)
    assert model.fewstep.predict(tmp_path / "drawing.png")[0].name == "angle"


def test_the_name_follows_the_pen_before_the_stroke_is_over(teach: Page) -> None:
    for i, strokes in enumerate((CROSS, ANGLE)):
        draw(teach, teach.locator("#symbols .pad").nth(i), strokes)
    expect(teach.locator("#taught")).to_contain_text("2 symbols learned")
    box = teach.locator("#query .pad").bounding_box()
    assert box is not None
    teach.mouse.move(box["x"] + 40, box["y"] + 30)
    teach.mouse.down()
    teach.mouse.move(box["x"] + 40, box["y"] + 120, steps=5)
    teach.mouse.move(box["x"] + 130, box["y"] + 120, steps=5)
    expect(name(teach)).to_have_text("symbol 2")
    teach.mouse.up()


def test_examples_fill_the_page_and_a_symbol_that_was_not_taught_is_called_unlike_all(
    teach: Page, shoot: Callable[[Page, str], Path]
) -> None:
    teach.get_by_role("button", name="Try it with examples").click()
    expect(name(teach)).to_have_text("symbol 2")
    expect(teach.locator("#novelty")).to_contain_text("Like what you taught me")
    assert shoot(teach, "play-teach").stat().st_size > 20_000
    draw(teach, teach.locator("#query .pad"), [*CROSS, *RULES, [(0.1, 0.1), (0.9, 0.9)]])
    expect(teach.locator("#novelty")).to_contain_text("Unlike everything you taught me")


def test_the_keyboard_teaches_by_examples_and_files(teach: Page, tmp_path: Path) -> None:
    for number in (1, 2):
        teach.get_by_role("button", name=f"An example drawing for symbol {number}").press("Enter")
        expect(teach.locator("#symbols .pad").nth(number - 1).locator("path").first).to_be_attached()
    expect(teach.locator("#taught")).to_contain_text("2 symbols learned")
    teach.get_by_role("button", name="in another hand").press("Enter")
    expect(name(teach)).to_have_text(re.compile(r"symbol [12]"))
    bar = Image.new("L", (300, 200), 255)
    ImageDraw.Draw(bar).line([(20, 100), (280, 100)], fill=0, width=9)
    bar.save(tmp_path / "bar.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "bar.png").read_bytes()[:40])
    with teach.expect_file_chooser() as chooser:
        teach.get_by_role("button", name="An image file for symbol 3").press("Enter")
    chooser.value.set_files(tmp_path / "bar.png")
    expect(teach.locator("#taught")).to_contain_text("3 symbols learned")
    teach.locator("#query input[type=file]").set_input_files(tmp_path / "bar.png")
    expect(name(teach)).to_have_text("symbol 3")
    teach.locator("#query input[type=file]").set_input_files(tmp_path / "torn.png")
    expect(teach.get_by_role("alert")).to_have_text("torn.png does not decode as an image")


def test_what_cannot_be_taught_is_said_until_it_can(teach: Page) -> None:
    for i, strokes in enumerate((CROSS, ANGLE)):
        draw(teach, teach.locator("#symbols .pad").nth(i), strokes)
        expect(teach.locator("#taught")).to_contain_text(("One more symbol", "2 symbols learned")[i])
    names = teach.get_by_label("Name of the symbol")
    names.nth(1).fill("symbol 1")
    expect(teach.get_by_role("alert")).to_contain_text("two symbols are called 'symbol 1'")
    names.nth(1).fill("other")
    expect(teach.locator("#taught")).to_contain_text("2 symbols learned")
    expect(teach.locator("#problem")).to_be_empty()
    teach.get_by_label("Model").select_option("runs/five")
    expect(teach.locator("#taught")).to_contain_text("tells 5 symbols apart, no more and no fewer; 2 are drawn")
    teach.get_by_role("button", name="Try it with examples").click()
    expect(teach.locator("#taught")).to_contain_text("5 symbols learned")
    expect(teach.locator("#strip li").first).to_contain_text("Before any step")


def test_a_second_drawing_goes_beside_the_first_and_undo_takes_strokes_back(teach: Page) -> None:
    card = teach.locator(".symbol").first
    draw(teach, card.locator(".pad"), CROSS)
    card.get_by_role("button", name="Another drawing").click()
    draw(teach, card.locator(".pad"), RULES)
    expect(card.locator(".thumb[aria-pressed]")).to_have_count(2)
    card.get_by_role("button", name="Undo").click()
    expect(card.locator(".pad path")).to_have_count(1)
    card.get_by_role("button", name="Drawing 1").click()
    expect(card.locator(".pad path")).to_have_count(2)
    card.get_by_role("button", name="Remove symbol 1").click()
    expect(teach.locator(".symbol")).to_have_count(2)


def test_a_finger_draws_on_a_phone_without_moving_the_page(browser: Browser, server: str) -> None:
    context = browser.new_context(
        base_url=server, viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark"
    )
    phone = context.new_page()
    phone.goto("/")
    pad = phone.locator("#symbols .pad").first
    box = pad.bounding_box()
    assert box is not None
    touch = context.new_cdp_session(phone)
    for kind, y in (("touchStart", 20), ("touchMove", 60), ("touchMove", 120), ("touchEnd", None)):
        points = [] if y is None else [{"x": box["x"] + 50, "y": box["y"] + y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(pad.locator("path")).to_have_attribute("d", re.compile(r"^M[\d. ]+L[\d. ]{20,}"))
    assert phone.evaluate("scrollY") == 0
    phone.get_by_role("button", name="Try it with examples").click()
    expect(name(phone)).to_have_text("symbol 2")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
