"""A finished study's page in headless Chromium."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from ablate.report.evidence import Evidence, weigh
from ablate.report.page import write_report

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def _simulated() -> ModuleType:
    path = Path(__file__).parents[2] / "unit" / "report" / "simulated_study.py"
    spec = importlib.util.spec_from_file_location("simulated_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def study() -> Evidence:
    small = {"n_records": 80, "n_classes": 4, "search_trials": 6, "replicates": 5, "fractions": (0.1,)}
    return weigh(_simulated().Simulator(**small).tables())


@pytest.fixture(scope="session")
def page(study: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(study, tmp_path_factory.mktemp("report")).page


@pytest.fixture(scope="session")
def chromium() -> tuple[str, str]:
    """Browser and driver."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if None in found:
        pytest.skip("no chromium or chromedriver on the path: apt-get install chromium chromium-driver")
    return found  # type: ignore[return-value]


@pytest.fixture(scope="session")
def driver(chromium: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = chromium[0]
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromium[1]))
    yield driver
    driver.quit()


Open = Callable[..., webdriver.Chrome]


@pytest.fixture
def view(driver: webdriver.Chrome, page: Path) -> Open:
    """Opens the page on a screen of a given size and colour scheme."""

    def opened(*, width: int = 1280, height: int = 900, dark: bool = False) -> webdriver.Chrome:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": [scheme]})
        driver.get("about:blank")
        driver.get(page.as_uri())
        return driver

    return opened
