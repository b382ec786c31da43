"""The page with a tab for each run: as a server shows it, and as one file that answers by itself."""

from __future__ import annotations

import base64
import hashlib

from .template import fill, fragment


def page(answering: str, data: str = "", closed: bool = False) -> bytes:
    """The page, with the script that answers what its views ask, and with the data that this script finds in it.

    closed  the page itself says that nothing may be loaded; a server says so in a header
    """
    script, style = f"{fragment('views.js')}\n{answering}", fragment("runs.css")
    rules = f"default-src 'none'; {inside(script, style)}; img-src data:; base-uri 'none'; form-action 'none'"
    said = f'<meta http-equiv="content-security-policy" content="{rules}">\n' if closed else ""
    return fill("runs.html", {"@STYLE@": style, "@SCRIPT@": script, "@DATA@": data, "@POLICY@": said})


def inside(script: str, style: str) -> str:
    """The part of a policy (CSP) that allows the one script and the one style that stand in a page."""
    return f"script-src '{_digest(script)}'; style-src '{_digest(style)}'"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
