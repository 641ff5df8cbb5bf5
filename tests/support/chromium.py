"""Debian's Chromium, driven headless through its own chromedriver: what a page logs and what it asks for."""

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PROGRAMS = ("chromium", "chromedriver")
MEND = "install Debian's packages chromium and chromium-driver (apt-get install chromium chromium-driver)"


def missing() -> list[str]:
    """Of the programs that are needed those that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Browser:
    """A window of a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.run = driver.execute_script

    def size(self, width: int, height: int = 900) -> None:
        """Of what is seen, in pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def media(self, kind: str = "screen", colours: str = "light") -> None:
        """What the reader's system asks for: screen or print, light or dark."""
        feature = {"name": "prefers-color-scheme", "value": colours}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": [feature]})

    def open(self, page: Path, anchor: str = "") -> None:
        """A file, from disk; what was logged before is forgotten."""
        self.driver.get("about:blank")
        self.console(), self.requests()
        self.driver.get(f"{page.as_uri()}{anchor}")

    def console(self) -> list[str]:
        """What was logged since the last call, errors of scripts and of the security policy too."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]

    def wait(self, script: str, seconds: float = 5.0) -> Any:
        """What a script answers, as soon as it is more than nothing."""
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda driver: self.run(script))

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.driver.execute_cdp_cmd("Page.captureScreenshot", {})["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.driver.execute_cdp_cmd("Page.printToPDF", {})["data"])


@contextmanager
def chromium() -> Iterator[Browser]:
    """A fresh browser with a profile of its own, gone afterwards."""
    from selenium import webdriver

    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        options.binary_location = shutil.which("chromium") or ""
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield Browser(driver)
        finally:
            driver.quit()
