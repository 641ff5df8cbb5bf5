"""The pictures of the HTML report in the README, taken with Chromium: small PNG files of few colours.

    python -m tools.screenshot_report

The page is made from the committed records, and from one defense attacked again for the sake of its images.
"""

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from robench.cli import run
from robench.paths import data_root
from tests.support.chromium import Browser, chromium

MODEL = "trades_he"
"""The defense that the page opens with: its worst case is the highest."""
SHOTS = {
    "report-1280": ("", 1280, 1180, "light"),
    "report-defense-1280": ("#curves", 1280, 1130, "dark"),
    "report-400": ("#gallery", 400, 1080, "light"),
}
"""Where the page is opened, width, height and colours, by file."""
COLOURS = 128


def main() -> None:
    """Write the pictures."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    figures = data_root() / "results" / "figures"
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        page = made(Path(folder))
        for name, shot in SHOTS.items():
            small(seen(browser, page, *shot), figures / f"{name}.png")


def made(folder: Path) -> Path:
    """The page, with a gallery of one defense."""
    shutil.copytree(data_root() / "results" / "digits", folder / "results" / "digits")
    attack = ["eval", "--model", MODEL, "--battery", "quick", "--save-adversarial", "--results", f"{folder}/results"]
    report = ["report", "--format", "html", "--results", f"{folder}/results", "--out", f"{folder}/report.html"]
    for command in (attack, report):
        if run(command):
            raise SystemExit(1)
    return folder / "report.html"


def seen(browser: Browser, page: Path, anchor: str, width: int, height: int, colours: str) -> Image.Image:
    """A part of the page as it opens."""
    browser.size(width, height)
    browser.media(colours=colours)
    browser.open(page, anchor)
    return Image.open(io.BytesIO(browser.picture()))


def small(picture: Image.Image, path: Path) -> None:
    """Few colours, no more bytes than needed."""
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"wrote {path}, {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
