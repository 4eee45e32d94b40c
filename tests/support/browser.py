"""The browser in which pages are tried, and what every page must keep to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = ROOT / "build/browser"
AXE = (ROOT / "node_modules/axe-core/axe.min.js").read_text()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser that scripts/bootstrap has unpacked, with its own fonts and no profile."""
    fonts = tmp_path_factory.mktemp("fonts")
    (fonts / "fonts.conf").write_text(
        f"<fontconfig><dir>{CHROMIUM / 'fonts'}</dir><cachedir>{fonts}</cachedir></fontconfig>"
    )
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(CHROMIUM / "al2023/lib"),
        "FONTCONFIG_FILE": str(fonts / "fonts.conf"),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM / "chromium", env={**environment}, chromium_sandbox=False
        )
        yield browser
        browser.close()


@contextmanager
def page_of(
    chromium: Browser, *expected: str, has_scripts: bool = True, is_dark: bool = False
) -> Iterator[tuple[BrowserContext, Page]]:
    """A page of a browser that knows nothing yet; it complains of what is expected, and no more."""
    complaints: list[str] = []
    context = chromium.new_context(
        java_script_enabled=has_scripts, color_scheme="dark" if is_dark else "light"
    )
    page = context.new_page()
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield context, page
    context.close()
    assert [told.partition("(")[0] for told in complaints] == [*expected]


def check_accessible(page: Page) -> None:
    """Axe finds nothing on the page as it is now."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run().then((run) => run.violations)")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
