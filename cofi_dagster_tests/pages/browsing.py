"""A browser window that tells on the pages: what they write to the console, what they ask other machines for, and what
somebody who cannot see or cannot use a mouse would stumble over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Locator, Page, Request, Response, expect

_AXE = Axe()
_SERIOUS = ("serious", "critical")


@dataclass
class Window:
    """One tab on an installation's pages. ``problems`` is what went wrong in it so far."""

    page: Page
    address: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.problems.append(f"a request leaves the machine: {request.url}")

    def open(self, path: str) -> Page:
        """Go to a page, wait until its script has run and its figures are drawn, and look at what it answered."""
        reply = self.page.goto(self.address + path)
        assert isinstance(reply, Response)
        assert reply.status == 200, f"{path}: HTTP {reply.status}"
        self.page.wait_for_selector("html[data-ready]")
        for plot in self.page.locator(".plot").all():
            if plot.is_visible():
                expect(plot).to_have_attribute("data-drawn", "")
        return self.page

    def check(self) -> None:
        """Nothing went wrong; nothing on the page as it is now stands in anybody's way, in light and dark.

        Raises:
            AssertionError: something did; the message lists it.
        """
        self.problems += self._findings()
        self.page.emulate_media(color_scheme="dark")
        self.problems += [f"dark: {finding}" for finding in self._findings(runOnly=["color-contrast"])]
        self.page.emulate_media(color_scheme="light")
        width = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if width > 0:
            self.problems.append(f"the page is {width} pixels wider than the window")
        assert not self.problems, "\n".join(self.problems)

    def _findings(self, **options: Any) -> list[str]:
        """The serious findings of axe-core (rules of WCAG 2.1 A and AA among them)."""
        figures = {"exclude": [[".plot"]]}  # images with a name: their numbers stand in a table beside
        wanted = {"resultTypes": ["violations"], **options}
        found: list[dict[str, Any]] = _AXE.run(self.page, context=figures, options=wanted).response["violations"]
        return [
            f"{rule['id']}: {rule['help']} ({rule['nodes'][0]['html'][:200]})"
            for rule in found
            if rule["impact"] in _SERIOUS
        ]

    def text(self, selector: str = "main") -> str:
        """What a person reads there, with single spaces."""
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def press_until(self, key: str, wanted: Locator, most: int = 40) -> None:
        """Press a key until the wanted element has the focus: what a person without a mouse does.

        Raises:
            AssertionError: it never had.
        """
        for _ in range(most):
            if wanted.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press(key)
        raise AssertionError(f"{most} times {key} did not lead there")
