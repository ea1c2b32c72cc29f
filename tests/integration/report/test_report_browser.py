"""The page as a reader meets it: on a desk, on a phone, in the dark, on paper."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from ablate.errors import LaunchError
from ablate.report import pdf
from ablate.report.evidence import Evidence
from ablate.report.page import write_report

pytestmark = pytest.mark.browser
View = Callable[..., Chrome]
PATIENCE_S = 120


def until(driver: Chrome, script: str) -> object:
    return WebDriverWait(driver, PATIENCE_S).until(lambda d: d.execute_script(f"return {script}"))


def draw_all(driver: Chrome) -> int:
    """Scroll to every figure and wait until it is drawn."""
    names = driver.execute_script("return [...document.querySelectorAll('.plot')].map((e) => e.id)")
    for name in names:
        driver.execute_script(f"document.getElementById('{name}').scrollIntoView()")
        until(driver, f"document.getElementById('{name}').dataset.drawn === 'screen'")
    return len(names)


def test_every_figure_draws_without_a_complaint(view: View) -> None:
    driver = view()
    assert draw_all(driver) > 12
    assert driver.execute_script("return document.querySelectorAll('.plot svg.main-svg').length") > 12
    assert [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_nothing_is_asked_of_a_network(view: View, page: Path, driver: Chrome) -> None:
    driver.get_log("performance")  # what the browser did before is not the page's doing
    view()
    draw_all(driver)
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert page.as_uri() in asked
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} <= {page.as_uri(), "about:blank"}, asked


def test_the_first_screen_answers_the_question(view: View) -> None:
    driver = view()
    until(driver, "document.getElementById('forest-auroc').dataset.drawn")
    heading, verdict, forest = (
        driver.find_element(By.CSS_SELECTOR, selector) for selector in ("h1", ".verdicts li", "#forest-auroc")
    )
    assert "probing" in heading.text
    assert "lp beats ft" in driver.find_element(By.TAG_NAME, "header").text
    assert heading.rect["y"] < verdict.rect["y"] < forest.rect["y"] < 900


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out(view: View, width: int) -> None:
    driver = view(width=width, height=844)
    draw_all(driver)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    plots = "[...document.querySelectorAll('.plot')]"
    wide = driver.execute_script(f"return {plots}.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.id)")
    assert wide == []


def test_figures_follow_the_colour_scheme(view: View) -> None:
    inks, grounds = [], []
    for dark in (False, True):
        driver = view(dark=dark)
        until(driver, "document.getElementById('forest-auroc').dataset.drawn")
        inks.append(driver.execute_script("return document.getElementById('forest-auroc').layout.font.color"))
        grounds.append(driver.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert inks == ["#3a424b", "#c9ced4"]
    assert grounds == ["rgb(253, 253, 252)", "rgb(17, 20, 23)"]


def test_a_change_of_scheme_redraws(view: View) -> None:
    driver = view()
    until(driver, "document.getElementById('forest-auroc').dataset.drawn")
    ink = driver.execute_script("return document.getElementById('forest-auroc').layout.font.color")
    dark = {"media": "screen", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    until(driver, f"document.getElementById('forest-auroc').layout.font.color !== '{ink}'")


def test_trials_sort_and_filter(view: View, study: Evidence) -> None:
    driver = view()
    driver.find_element(By.CSS_SELECTOR, "[data-filter]").send_keys("confirm lp_sd 0.1")
    shown = until(driver, "document.querySelector('[data-count]').textContent")
    assert shown == f"5 of {len(study.study.slots)} trials"
    rows = "[...document.querySelectorAll('#trials-table tbody tr')].filter((r) => !r.hidden)"
    keys = driver.execute_script(f"return {rows}.map((r) => r.cells[0].textContent)")
    assert sorted(keys) == [f"confirm/lp_sd/data_fraction=0.1/{k}" for k in range(5)]
    head = driver.find_element(By.XPATH, "//table[@id='trials-table']//th[.='val AUROC']/button")
    for order in (1, -1):
        driver.execute_script("arguments[0].click()", head)
        values = driver.execute_script(f"return {rows}.map((r) => parseFloat(r.cells[3].textContent))")
        assert values == sorted(values, reverse=order < 0)


def test_numbers_behind_a_figure_open_on_demand(view: View) -> None:
    driver = view()
    part = driver.find_element(By.CSS_SELECTOR, "figure details")
    assert not part.find_element(By.TAG_NAME, "table").is_displayed()
    part.find_element(By.TAG_NAME, "summary").click()
    assert part.find_element(By.TAG_NAME, "table").is_displayed()


def test_contents_lead_to_every_section(view: View) -> None:
    driver = view(width=390, height=844)
    contents = driver.find_element(By.CSS_SELECTOR, "details.contents")
    assert not contents.find_element(By.TAG_NAME, "nav").is_displayed()
    contents.find_element(By.TAG_NAME, "summary").click()
    contents.find_element(By.LINK_TEXT, "Every trial").click()
    until(driver, "Math.abs(document.getElementById('trials').getBoundingClientRect().top) < 400")


def test_the_page_prints_to_a_pdf(study: Evidence, tmp_path: Path, chromium: tuple[str, str]) -> None:
    files = write_report(study, tmp_path, pdf=True)
    assert files.pdf is not None
    content = files.pdf.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(content) > 100_000  # with its figures
    assert b"D:20260302" in content


def test_a_pdf_without_a_browser_is_refused_before_any_work(
    study: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match=r"no browser found.*chromium"):
        write_report(study, tmp_path / "out", pdf=True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(LaunchError):
        pdf.browser()
