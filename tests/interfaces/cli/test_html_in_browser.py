"""The HTML report in a real browser: it shows, it answers to keys and links, and nothing hostile in it runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from interfaces.cli.reports.model import Collected
from interfaces.cli.reports.writers import writer
from tests.interfaces.cli.recorded import HOSTILE, SOURCE, hostile_run, recorded
from tests.support.tied import tied

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)
READY = 60.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


class Page:
    """A page of the browser, driven by the Chrome DevTools Protocol; keeps what it reported."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command's answer."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=READY)
            if message.get("id") == self._number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            self.events.append(message)

    async def value(self, expression: str) -> Any:
        """What an expression is on the page."""
        answer = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def open(self, path: Path, place: str = "") -> None:
        """Load a file and wait until it is loaded."""
        await self.send("Page.navigate", url=f"{path.as_uri()}{place}")
        assert await self.becomes("location.protocol + document.readyState", "file:complete")

    async def becomes(self, expression: str, wanted: Any) -> bool:
        """Whether an expression comes to a value in time."""
        end = time.monotonic() + READY
        while (found := await self.value(expression)) != wanted and time.monotonic() < end:
            await asyncio.sleep(0.02)
        return bool(found == wanted)

    def reported(self, *methods: str) -> list[dict[str, Any]]:
        """Events of these methods."""
        return [event["params"] for event in self.events if event.get("method") in methods]


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A new page of a browser of its own."""
    assert CHROMIUM is not None
    command = (CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "about:blank")
    process = await asyncio.create_subprocess_exec(
        *tied(*command), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(READY):
            while (found := re.search(rb"DevTools listening on ws://([\d.:]+)/", await process.stderr.readline())) is None:
                pass
        draining = asyncio.create_task(process.stderr.read())
        base = f"http://{found[1].decode()}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/json/list") as answer:
                targets = json.loads(await answer.read())
            address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                opened = Page(socket)
                for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
                    await opened.send(f"{domain}.enable")
                yield opened
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def write(path: Path, collected: Collected) -> Path:
    path.write_bytes(b"".join(writer("html")(collected, {"f.yaml": SOURCE})))
    collected.close()
    return path


def is_quiet(page: Page, path: Path) -> None:
    """No message, no dialog, and no request but for the file itself."""
    assert page.reported("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled", "Audits.issueAdded") == []
    assert page.reported("Page.javascriptDialogOpening") == []
    asked = {params["request"]["url"].partition("#")[0] for params in page.reported("Network.requestWillBeSent")}
    assert asked - {"data:,"} == {path.as_uri()}


async def test_hostile_texts_are_texts(page: Page, tmp_path: Path) -> None:
    collected = hostile_run().finish()
    collected.skipped = [(HOSTILE, HOSTILE)]
    path = write(tmp_path / "report.html", collected)
    await page.open(path)
    await page.value("for (const one of document.querySelectorAll('details')) one.open = true")
    assert await page.value("document.querySelectorAll('img, iframe, object, embed, form, base').length") == 0
    assert await page.value("document.querySelectorAll('script:not([type])').length") == 1
    text = await page.value("document.getElementById('detail').innerText")
    assert "<img src=x onerror=alert(2)>" in text
    assert "\\u001b[31mred" in text
    assert "\u202e" not in text
    assert "+ $[0]" in text
    is_quiet(page, path)


async def test_links_lead_to_a_step_and_keys_through_the_list(page: Page, tmp_path: Path) -> None:
    path = write(tmp_path / "report.html", recorded("passed", "failed", "passed", path="loop[0]/inner").finish())
    await page.open(path, "#id-2/loop%5B0%5D%2Finner")
    chosen = "document.querySelector('#list [aria-current=true]').getAttribute('href')"
    assert await page.value(chosen) == "#id-2"
    assert await page.value("document.activeElement.title") == "loop[0]/inner"
    assert await page.value("document.activeElement.getAttribute('aria-expanded')") == "true"
    for key, where in (("k", "#id-0"), ("k", "#id-1"), ("j", "#id-0")):
        await page.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        assert await page.becomes(chosen, where)
    await page.send("Input.dispatchKeyEvent", type="keyDown", key="/", text="/")
    assert await page.value("document.activeElement.id") == "search"
    is_quiet(page, path)


async def test_two_thousand_executions_stay_quick(page: Page, tmp_path: Path) -> None:
    path = write(tmp_path / "report.html", recorded(*["passed"] * 1_900, *["failed"] * 100).finish())
    begun = time.monotonic()
    await page.open(path)
    assert time.monotonic() - begun < 15
    assert await page.value("document.querySelectorAll('#list li').length") == 200
    assert (await page.value("document.querySelector('#list li').innerText")).startswith("✗ failed")
    took = await page.value(
        "(() => { const begun = performance.now(); const box = document.getElementById('search'); box.value = 'id-1999';"
        " box.dispatchEvent(new Event('input')); return performance.now() - begun; })()"
    )
    assert took < 500
    assert await page.value("document.querySelectorAll('#list li').length") == 1
    is_quiet(page, path)
