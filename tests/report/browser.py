"""A headless Chromium over its DevTools protocol: enough to open a page, act on it, and see what it logs and requests."""

import asyncio
import base64
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


def find() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """Use as a context manager. events: every DevTools event since `open`, as {method, params}."""

    def __init__(self, program: str) -> None:
        self.program, self.loop, self.events, self.sent = program, asyncio.new_event_loop(), [], 0

    def __enter__(self) -> "Browser":
        self.home = Path(tempfile.mkdtemp())
        command = [self.program, *FLAGS, f"--user-data-dir={self.home}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.loop.run_until_complete(self._connect())
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.run_until_complete(self.session.close())
        self.loop.close()
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.home, ignore_errors=True)

    async def _connect(self) -> None:
        port, deadline = self.home / "DevToolsActivePort", time.monotonic() + 60
        while not (port.is_file() and port.read_text().count("\n")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.program} did not start")
            await asyncio.sleep(0.05)
        self.session = aiohttp.ClientSession()
        async with self.session.get(f"http://127.0.0.1:{port.read_text().split()[0]}/json/list") as answer:
            pages = [one for one in await answer.json(content_type=None) if one["type"] == "page"]
        self.socket = await self.session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        self.sent += 1
        await self.socket.send_json({"id": self.sent, "method": method, "params": params})
        while True:
            message = await asyncio.wait_for(self.socket.receive_json(), 60)
            if message.get("id") == self.sent:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def call(self, method: str, **params: Any) -> Any:
        return self.loop.run_until_complete(self._call(method, params))

    def open(self, page: Path, width: int, height: int = 900, frames: bool = True) -> None:
        """Show a file at a size in CSS px, as a phone does below a width of 600. frames: wait for two frames of its script."""
        self.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Page.navigate", url=page.resolve().as_uri())
        deadline = time.monotonic() + 60
        while self.run("document.readyState") != "complete" or self.run("location.protocol") != "file:":
            assert time.monotonic() < deadline, "the page did not load"
        if frames:
            self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression (awaited)."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def move(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, uncaught exceptions, policy violations."""
        self.run("0")
        logged = [str(one["params"]) for one in self.events if one["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
        return logged + [str(one["params"]) for one in self.events if one["method"] == "Runtime.consoleAPICalled"]

    def requests(self) -> list[str]:
        """Addresses the page asked for, embedded data left out."""
        addresses = [one["params"]["request"]["url"] for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return [address for address in addresses if not address.startswith("data:")]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))
