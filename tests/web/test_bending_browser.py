"""The page "Bend the curve" in a browser: with a mouse, a finger and the keyboard."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect

from fewstep.core import Task
from fewstep.learner_file import shipped_for_values
from fewstep.tasks.sinusoid import true_sinusoid

ZIGZAG = [(-4, 2), (-2.5, -1), (0, 2), (2, -2), (4, 1)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curves")
    (folder / "mine.fewstep-learner").write_bytes(shipped_for_values()["sinusoid-reptile"].read_bytes())
    return folder


@pytest.fixture
def curves(page: Page) -> Page:
    """The page as it opens: five points of a sinusoid, ten inner steps."""
    page.goto("/curves")
    expect(page.locator("#learners tr")).to_have_count(3)
    return page


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the plot is on the screen, from the rules of the grid."""
    box = page.locator("#plot svg").bounding_box()
    clip = page.locator("#inside rect")
    assert box is not None
    left, top, width, height = (float(clip.get_attribute(name) or "") for name in ("x", "y", "width", "height"))
    return box["x"] + left + (x + 5) / 10 * width, box["y"] + top + (6 - y) / 12 * height


def points(page: Page) -> Locator:
    return page.locator(".point")


def error(page: Page, learner: str, column: int = 0) -> float:
    """What the table says: on the points (column 0), to the sinusoid (1)."""
    text = page.locator(f"#learners tr[data-learner={learner}] td").nth(column).inner_text()
    return float(text.replace("<", ""))


def test_mamls_curve_bends_to_clicked_points_and_the_untrained_nets_hardly_does(curves: Page) -> None:
    curves.get_by_role("button", name="Clear").click()
    expect(points(curves)).to_have_count(0)
    for x, y in ZIGZAG:
        with curves.expect_response("**/api/curves/bend"):
            curves.mouse.click(*place(curves, x, y))
    expect(points(curves)).to_have_count(5)
    expect(points(curves).nth(1)).to_have_attribute("aria-label", re.compile(r"Point 2: x −2.[45]\d, y −(0.9|1.0)\d"))
    expect(curves.locator("#said")).to_contain_text("5 points. Error on them after 10 inner steps: MAML")
    asked: list[str] = []
    curves.on("request", lambda request: asked.append(request.url))
    drawn, errors = set(), []
    for steps in ("0", "1", "32"):
        curves.get_by_label("Inner steps").fill(steps)
        drawn.add(curves.locator("#plot .curve.maml").get_attribute("d"))
        errors.append((error(curves, "maml"), error(curves, "untrained")))
    assert len(drawn) == 3
    assert errors[0][0] > 4 * errors[2][0]
    assert 4 * errors[2][0] < errors[2][1]
    assert asked == []


def test_maml_finds_the_sinusoid_beyond_its_points_and_the_python_shown_does_so_too(
    curves: Page, shoot: Callable[[Page, str], Path]
) -> None:
    found = error(curves, "maml", 1)
    assert 5 * found < error(curves, "untrained", 1)
    assert shoot(curves, "play-curves").stat().st_size > 20_000
    names: dict[str, Any] = {}
    exec(curves.locator("#python").text_content() or "", names)
    x = torch.linspace(-5, 5, 161)[:, None]
    truth = true_sinusoid(Task(names["support"], names["support"]), x)
    assert (names["model"](x) - truth).square().mean().item() == pytest.approx(found, abs=2e-3)
    before = curves.locator("#plot .truth").get_attribute("d")
    with curves.expect_response("**/api/curves/bend"):
        curves.get_by_role("button", name="A random sinusoid").click()
    expect(points(curves)).to_have_count(5)
    assert curves.locator("#plot .truth").get_attribute("d") != before


def test_a_point_is_dragged_and_then_removed_by_a_click(curves: Page) -> None:
    box = points(curves).first.locator(".dot").bounding_box()
    assert box is not None
    curves.mouse.move(box["x"] + 6, box["y"] + 6)
    curves.mouse.down()
    curves.mouse.move(*place(curves, 1, 1))
    curves.mouse.move(*place(curves, 2.5, -3), steps=3)
    curves.mouse.up()
    expect(points(curves).first).to_have_attribute("aria-label", "Point 1: x 2.50, y −3.00")
    expect(points(curves)).to_have_count(5)
    curves.mouse.click(*place(curves, 2.5, -3))
    expect(points(curves)).to_have_count(4)


def test_the_keyboard_and_the_table_put_move_and_remove_points(curves: Page) -> None:
    plot = curves.get_by_role("application")
    plot.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp", "Enter"):
        plot.press(key)
    last = points(curves).last
    expect(last).to_have_attribute("aria-label", "Point 6: x 0.50, y 1.00")
    last.focus()
    last.press("ArrowDown")
    expect(last).to_have_attribute("aria-label", "Point 6: x 0.50, y 0.75")
    last.press("Delete")
    expect(points(curves)).to_have_count(5)
    expect(points(curves).last).to_be_focused()
    _use_the_table(curves)


def _use_the_table(curves: Page) -> None:
    curves.get_by_text("The points as a table").click()
    curves.get_by_role("button", name="Add a point").click()
    curves.get_by_label("x of point 6").fill("-9")
    curves.get_by_label("y of point 6").fill("2.5")
    curves.get_by_label("y of point 6").press("Tab")
    expect(points(curves).last).to_have_attribute("aria-label", "Point 6: x −5.00, y 2.50")
    curves.get_by_role("button", name="Remove point 6").click()
    expect(points(curves)).to_have_count(5)


def test_a_learner_of_ones_own_is_a_fourth_curve_and_each_can_be_hidden(curves: Page) -> None:
    curves.get_by_label("A run of yours").select_option("mine.fewstep-learner")
    expect(curves.locator("path.curve.own").first).to_be_visible()
    assert error(curves, "own") == error(curves, "reptile")
    curves.get_by_role("checkbox", name="MAML").uncheck()
    expect(curves.locator("#plot .curve")).to_have_count(3)
    expect(curves.locator("#plot .curve.maml")).to_have_count(0)


def test_play_runs_to_the_last_step_and_by_whole_steps_where_less_motion_is_wanted(curves: Page) -> None:
    curves.get_by_label("Inner steps").fill("30")
    curves.get_by_role("button", name="Play").click()
    expect(curves.locator("#step")).to_have_text("32")
    expect(curves.get_by_role("button", name="Play")).to_be_visible()
    curves.emulate_media(reduced_motion="reduce")
    curves.clock.install()
    curves.get_by_role("button", name="Play").click()
    curves.clock.run_for(3500)
    expect(curves.locator("#step")).to_have_text("3")
    curves.get_by_role("button", name="Pause").click()


def test_a_finger_puts_points_on_a_phone_and_a_server_that_is_gone_is_said_to_be(browser: Browser, server: str) -> None:
    context = browser.new_context(
        base_url=server, viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark"
    )
    phone = context.new_page()
    phone.goto("/curves")
    expect(points(phone)).to_have_count(5)
    phone.locator("#plot").scroll_into_view_if_needed()
    phone.touchscreen.tap(*place(phone, 3, 4))
    expect(points(phone)).to_have_count(6)
    phone.touchscreen.tap(*place(phone, 3, 4))
    expect(points(phone)).to_have_count(5)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    _break_and_mend_the_server(phone)
    context.close()


def _break_and_mend_the_server(phone: Page) -> None:
    """What went wrong is said, until it goes well again."""
    phone.route("**/api/curves/bend", lambda route: route.abort())
    phone.touchscreen.tap(*place(phone, 3, 4))
    expect(phone.get_by_role("alert")).to_contain_text("the server does not answer")
    phone.unroute("**/api/curves/bend")
    phone.touchscreen.tap(*place(phone, 3, 4))
    expect(phone.locator("#problem")).to_be_empty()
