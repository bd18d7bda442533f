"""The page of runs in a browser: runs that are done, and one that trains while it is watched."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

RESULTS = Path(__file__).parents[2] / "results"
RECORDED = ["course-5w1s-fomaml", "course-5w1s-maml", "course-5w1s-adagrad", "sinusoid-10s-maml", "omniglot-5w1s-fast"]
REPORTED = "course-5w1s-maml"
REPORT = "<title>told</title><style>p { color: rgb(1, 2, 3) }</style><p>all</p><script>document.title = 'ran'</script>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("playground") / "runs"
    for name in RECORDED:
        shutil.copytree(RESULTS / name, root / name)
    (root / REPORTED / "report.html").write_text(REPORT)
    return root


@pytest.fixture
def training(runs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A training that goes on until it is stopped."""
    tiny = ["--training.meta-batch", "1", "--training.validate-every", "20", "--training.validation-tasks", "4"]
    words = ["train", "sinusoid-10s-maml", "--out", str(runs / "watched"), "--threads", "1", "--chunk", "1", *tiny]
    process = subprocess.Popen([sys.executable, "-m", "fewstep", *words], stderr=subprocess.DEVNULL)
    log = runs / "watched" / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and '"train"' in log.read_text()):
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()
    shutil.rmtree(runs / "watched", ignore_errors=True)


def test_a_finished_run_shows_its_result_its_curves_and_test_tasks(page: Page) -> None:
    name = "omniglot-5w1s-fast"
    page.goto(f"/runs#{name}")
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    line = json.loads((RESULTS / name / "result.json").read_text())["line"]
    validations = (RESULTS / name / "metrics.jsonl").read_text().count('"validation"')
    expect(page.locator("#one .result").first).to_have_text(line)
    expect(page.locator("#one svg.chart")).to_have_count(2)
    expect(page.locator("#one svg.chart .dot")).to_have_count(validations)
    picture = page.locator("#one .picture img")
    picture.scroll_into_view_if_needed()
    expect(picture).not_to_have_js_property("naturalWidth", 0)


def test_runs_are_compared(page: Page, shoot: Callable[..., Path]) -> None:
    page.goto("/runs#omniglot-5w1s-fast")
    for name in ("course-5w1s-fomaml", "course-5w1s-maml", "course-5w1s-adagrad"):
        page.get_by_label(f"compare {name}").check()
    expect(page.locator("#compared .legend li")).to_have_count(3)
    expect(page.locator("#one svg.chart")).to_have_count(2)
    assert shoot(page, "play-runs", top=1860).stat().st_size > 10_000


def test_without_a_run_the_page_says_how_to_train_the_first(page: Page) -> None:
    page.route("/api/runs", lambda route: route.fulfill(json={"folder": "runs", "runs": []}))
    page.goto("/runs")
    expect(page.locator("#empty")).to_contain_text("No run yet in runs")
    expect(page.locator("#empty pre")).to_have_text("fewstep train")
    expect(page.locator("#listed")).to_be_hidden()
    expect(page.locator("#one")).to_be_hidden()


def test_a_chart_is_read_with_the_arrow_keys(page: Page) -> None:
    page.goto(f"/runs#{REPORTED}")
    chart = page.locator("#one svg.chart").first
    chart.focus()
    page.keyboard.press("End")
    expect(page.locator("#one .readout").first).to_contain_text("update 800: training")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#one .readout").first).not_to_contain_text("update 800:")


def test_the_list_is_filtered_by_words(page: Page) -> None:
    page.goto("/runs")
    page.get_by_label("Filter").fill("course adagrad")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#count")).to_have_text(f"1 of {len(RECORDED)}")


def test_runs_are_chosen_and_opened_from_the_keyboard(page: Page) -> None:
    page.goto("/runs")
    page.get_by_label("compare course-5w1s-maml").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#run-name")).to_be_focused()
    expect(page.locator("#run-name")).to_have_text("course-5w1s-maml")
    page.get_by_label("compare course-5w1s-fomaml").focus()
    page.keyboard.press("Space")
    expect(page.get_by_label("compare course-5w1s-fomaml")).to_be_focused()
    expect(page.locator("#compared .legend li")).to_have_count(2)
    expect(page.locator("#paired")).to_have_text(re.compile("^fewstep compare .*-maml .*-fomaml$"))


def test_a_report_opens_with_its_style_and_without_scripts(page: Page) -> None:
    page.goto(f"/runs#{REPORTED}")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="its own report").click()
    report = opened.value
    expect(report.get_by_text("all")).to_have_css("color", "rgb(1, 2, 3)")
    assert report.title() == "told"


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/runs#omniglot-5w1s-fast")
    expect(page.locator("#one svg.chart")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_curve_grows_while_its_run_trains_and_its_reader_stays(training: subprocess.Popen[bytes], page: Page) -> None:
    page.goto("/runs")
    row = page.locator("#rows tr", has_text="watched")
    expect(row.locator(".status")).to_have_text("training")
    row.get_by_role("button", name="watched").click()
    expect(page.locator("#one svg.chart path.line").first).to_be_visible()
    page.locator("#one summary").first.click()
    chart = page.locator("#one svg.chart").first
    chart.focus()
    page.keyboard.press("End")
    before = chart.get_attribute("aria-label")
    assert before is not None
    expect(chart).not_to_have_attribute("aria-label", before, timeout=20_000)
    expect(chart).to_be_focused()
    expect(page.locator("#one .numbers table").first).to_be_visible()
    expect(page.locator("#one .readout").first).to_contain_text("training")
    training.terminate()
    expect(row.locator(".status")).to_have_text("stopped", timeout=20_000)
    expect(page.locator("#one .warning")).to_contain_text("This run is unfinished")
