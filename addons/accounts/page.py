"""The page at which a login in the browser ends: what came of it, and what to do."""

from base64 import b64encode
from hashlib import sha256
from html import escape

STYLE = """
:root { color-scheme: light dark; font: 1.125rem/1.6 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center }
main { max-width: 34rem; padding: 1.5rem }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .75rem }
p { margin: .5rem 0; overflow-wrap: anywhere }
"""
HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address has the code in it
    "cache-control": "no-store",
    "connection": "close",
}


def page(title: str, *paragraphs: str) -> str:
    """Of plain texts."""
    lines = "".join(f"<p>{escape(text)}</p>\n" for text in paragraphs)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · codex-relay</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{lines}</main>
</body>
</html>
"""


def succeeded() -> str:
    return page("You are logged in", "codex-relay has your account. You may close this page.")


def failed(fault: str) -> str:
    again = "Start the login again from codex-relay. You may close this page."
    return page("The login did not work", fault, again)
