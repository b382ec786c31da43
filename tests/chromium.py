"""Pages in the distribution's Chromium, over its DevTools protocol: for the tests marked `browser`."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PATIENCE = 60  # seconds that a test waits for anything
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = Path(os.environ.get("UNROLLED_PICTURES", "/nonexistent"))  # a folder for screenshots, to be looked at


class Tab:
    """A page in Chromium, over its DevTools protocol; what it complains of is kept."""

    def __init__(self, socket):
        self.socket, self.number, self.session, self.complaints = socket, 0, None, []

    def call(self, method, **params):
        self.number += 1
        asked = {"id": self.number, "method": method, "params": params}
        self.socket.send(json.dumps(asked | ({"sessionId": self.session} if self.session else {})))
        while (answer := json.loads(self.socket.recv(timeout=PATIENCE))).get("id") != self.number:
            said = answer.get("params", {})
            if answer.get("method") == "Runtime.exceptionThrown" or said.get("entry", {}).get("level") == "error":
                self.complaints.append(said)
        assert "error" not in answer, answer
        return answer["result"]

    def run(self, script):
        """What a script comes to, once it is there."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script):
        until(lambda: self.run(script))
        return self.run(script)

    def screenshot(self, name):
        if PICTURES.is_dir():
            shown = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (PICTURES / f"{name}.png").write_bytes(base64.b64decode(shown))


@contextmanager
def chromium(folder, address, width=1100, dark=False):
    from websockets.sync.client import connect

    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0", "--mute-audio",
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
        f"--user-data-dir={folder}",
    ]  # fmt: skip
    with subprocess.Popen([CHROMIUM, *flags], stderr=subprocess.PIPE, text=True) as child, ExitStack() as after:
        after.callback(child.terminate)
        found = next(filter(None, (re.match(r"DevTools listening on (\S+)", line) for line in child.stderr)))
        tab = Tab(after.enter_context(connect(found[1], max_size=None)))
        target = tab.call("Target.createTarget", url="about:blank")["targetId"]
        tab.session = tab.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.call("Emulation.setEmulatedMedia", features=[scheme])
        tab.call("Page.navigate", url=address)
        tab.wait("document.querySelectorAll('[role=tab]').length > 0")
        yield tab


browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
SHOWN = "document.querySelector('[role=tabpanel]:not([hidden])')"


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def opened(tab, name):
    tab.run(f"[...document.querySelectorAll('[role=tab]')].find((one) => one.firstChild.data === '{name}').click()")


def typed(tab, text):
    place = f"{SHOWN}.querySelector('textarea, input')"
    tab.run(f"{{ const t = {place}; t.value = {json.dumps(text)}; t.dispatchEvent(new Event('input')) }}")
