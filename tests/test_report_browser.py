"""The page in a real browser: it draws, sorts, filters, obeys the keyboard, and fetches nothing."""

import shutil

import pytest
from studied import run, spec, study

pytest.importorskip("altair", reason="the report draws with altair: pip install -e '.[report]'")
pytest.importorskip("playwright", reason="drives the browser: pip install playwright")

from playwright import sync_api

from lstm_research import store
from lstm_research.report.write import Wanted, write

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VARIANT = "#task-table tbody th"
ADDING, PARITY = "adding(length=10)", "parity(length=20, variable=true)"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs the browser chromium: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def file(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    write(Wanted(root, out))
    return out


@pytest.fixture
def page(browser, file):
    """The page, drawn; the test fails where the console says anything or anything is fetched."""
    said, asked = [], []
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(60_000)
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(file.as_uri())
    drawn(opened)
    yield opened
    opened.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def drawn(page, chart: str = "curves") -> None:
    page.wait_for_function(f"document.querySelectorAll('#{chart} svg.marks').length === 1")


def texts(page, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def marks(page, chart: str, kind: str, many: int) -> None:
    """Wait until a chart has so many marks of a kind."""
    found = f"#{chart} svg.marks [aria-roledescription='{kind}']"
    page.wait_for_function(
        "([found, many]) => document.querySelectorAll(found).length === many", arg=[found, many]
    )


def test_the_page_says_what_it_shows(page):
    assert page.title() == "lstm-research: gates"
    state = page.locator("#state").inner_text()
    assert all(word in state for word in ("13 runs", "1 failed", "1 diverged", "1 unfinished"))
    assert texts(page, "#overview-table tbody th") == ["elman", "lstm"]
    assert "1 of 3 diverged" in page.locator("#overview-table").inner_text()
    assert texts(page, "#task option") == [ADDING, PARITY]


def test_a_column_sorts_up_and_down_and_says_so(page):
    head = page.locator("#task-table th", has_text="mean")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert texts(page, VARIANT) == ["lstm", "elman"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert texts(page, VARIANT) == ["elman", "lstm"]


def test_a_missing_number_sorts_last_both_ways(page):
    head = page.locator("#runs th", has_text="solved at")
    for _ in range(2):
        head.locator("button").click()
        ends = texts(page, "#runs tbody td:nth-child(8)")
        assert ends == ["300"] * 5 + [""] * 8


def test_the_filter_narrows_tables_runs_and_charts(page):
    marks(page, "curves", "line mark", 2)
    page.fill("#filter", "LST")
    assert texts(page, VARIANT) == ["lstm"]
    assert page.locator("#run-count").inner_text() == "7 of 7 runs".replace("of 7", "of 13")
    marks(page, "curves", "line mark", 1)
    page.fill("#filter", "nothing")
    assert texts(page, VARIANT) == [] and page.locator("#curves svg.marks").is_hidden()


def test_runs_are_filtered_by_any_word_of_theirs(page):
    page.fill("#run-filter", "failed parity")
    assert texts(page, "#runs tbody td:nth-child(5)") == ["failed"]


def test_every_variant_has_a_line_and_a_band_and_its_seeds_on_demand(page):
    marks(page, "curves", "line mark", 2)
    marks(page, "curves", "area mark", 2)
    page.check("#seeds")
    marks(page, "curves", "line mark", 2 + 7)  # three of elman, four of lstm
    page.check("#log")
    marks(page, "curves", "line mark", 2 + 7)


def test_the_mean_and_each_seed_of_a_result_are_drawn(page):
    marks(page, "results", "point", 2)
    marks(page, "results", "tick", 5)  # one of elman diverged, one of lstm is unfinished
    page.uncheck("#task-table input[data-variant='0']")
    marks(page, "results", "point", 1)


def test_time_to_solve_has_a_point_a_run_that_has_ended(page):
    marks(page, "solved", "point", 6)


def test_the_curve_over_length_shows_where_a_task_has_one(page):
    assert page.locator("#slices").is_hidden()
    page.select_option("#task", label=PARITY)
    drawn(page, "slices")
    assert page.locator("#slices-title").inner_text() == "Accuracy against length"
    marks(page, "slices", "line mark", 2)
    marks(page, "slices", "point", 2 * 3)


def test_another_baseline_changes_the_differences(page):
    column = "#task-table tbody td:nth-child(4)"
    assert texts(page, column) == ["", "-0.05"]
    page.select_option("#baseline", label="lstm")
    assert texts(page, column) == ["0.05", ""]


def test_settings_of_two_variants_are_compared(page):
    rows = texts(page, "#diff tbody tr")
    assert 'cell.kind\t"elman"\t"gated"' in rows
    assert not [row for row in rows if row.startswith(("task.", "network."))]
    page.select_option("#right", label="elman")
    assert texts(page, "#diff tbody tr") == []


def test_the_gates_of_an_inspected_run_are_pictures_in_the_page(page):
    picture = page.locator("#pictures img")
    assert picture.get_attribute("alt") == "gates of lstm"
    picture.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#pictures img').naturalWidth === 40")


def test_a_run_has_an_anchor_that_opens_it(page, root, file):
    name = store.find(root, spec("lstm", seed=1)).name
    page.goto(f"{file.as_uri()}#run-{name}")
    told = page.locator("#runs tr.told")
    assert told.count() == 1 and "hidden: 64" in told.inner_text() and name in told.inner_text()


def test_everything_can_be_reached_with_the_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.keyboard.type("lstm")
    assert texts(page, VARIANT) == ["lstm"]
    page.keyboard.press("Escape")
    assert texts(page, VARIANT) == ["elman", "lstm"]
    page.locator("#task-table th button", has_text="mean").focus()
    page.keyboard.press("Enter")
    assert texts(page, VARIANT) == ["lstm", "elman"]
    assert "mean" in page.evaluate("document.activeElement.innerText")  # the focus stays
    page.locator("#runs tbody button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#runs tr.told").count() == 1


def test_light_dark_and_paper_have_their_colours(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) == "rgb(22, 24, 28)"
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(22, 24, 28)"
    page.emulate_media(media="print")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.locator("nav.controls").is_hidden()


def test_what_was_chosen_outlives_a_reload(page):
    page.select_option("#task", label=PARITY)
    page.fill("#filter", "lstm")
    page.reload()
    drawn(page)
    assert page.input_value("#filter") == "lstm" and texts(page, VARIANT) == ["lstm"]
    assert page.locator("#one-title").inner_text().startswith(PARITY)


def test_a_page_that_is_watched_loads_itself_again(browser, tmp_path):
    root, out = tmp_path / "runs", tmp_path / "report.html"
    run(root, spec())
    write(Wanted(root, out), refresh=0.5)
    page = browser.new_page()
    page.goto(out.as_uri())
    assert page.locator("#state").inner_text().startswith("1 runs")
    run(root, spec(seed=1))
    write(Wanted(root, out))
    page.wait_for_function("document.getElementById('state').innerText.startsWith('2 runs')")
    page.close()
