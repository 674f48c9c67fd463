"""The addon puts the relay's classes into mitmproxy and takes them out again; where mitmproxy does
not fit, the relay does not start."""

import ast
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from mitmproxy import version
from mitmproxy.addonmanager import Loader
from mitmproxy.addons.script import Script
from mitmproxy.exceptions import AddonManagerError
from mitmproxy.proxy.layers import http as layers
from mitmproxy.test import taddons

from addons.transport import contract
from addons.transport.addon import Transport
from addons.transport.contract import TESTED_VERSIONS
from addons.transport.relay_stream import ORIGINALS
from tests.addons.proxy import bounded, proxy, upstream
from tests.addons.transport.relay_harness import RelayAddon, reply_late, request_by

ROOT = Path(__file__).parents[3]
MITMDUMP = Path(sys.executable).with_name("mitmdump")
HTTP_MODULE = "mitmproxy.proxy.layers.http"


@bounded
async def test_removed_addon_restores_mitmproxys_classes() -> None:
    originals = layers.HttpStream, layers.Http1Client, layers.Http2Client
    first = Transport()
    async with (
        upstream(reply_late) as server,
        proxy(first, RelayAddon(server.port)) as (master, port),
    ):
        assert layers.HttpStream is not originals[0]
        master.addons.remove(first)
        assert (layers.HttpStream, layers.Http1Client, layers.Http2Client) == originals
        assert b"<beat>" not in (await request_by(port, "direct")).body
        master.addons.add(Transport())
        assert b"<beat>" in (await request_by(port, "direct")).body
    assert (layers.HttpStream, layers.Http1Client, layers.Http2Client) == originals


@bounded
async def test_removed_transport_puts_the_methods_back() -> None:
    transport = Transport()
    async with proxy(transport) as (master, _):
        assert {"trigger", "trigger_event"} <= vars(master.addons).keys()
        master.addons.remove(transport)  # type: ignore[no-untyped-call]  # mitmproxy's
        assert not {"trigger", "trigger_event"} & vars(master.addons).keys()


@bounded
async def test_relay_runs_where_the_addon_manager_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(contract.OPTIONAL_API, "mitmproxy.gone", {})
    original = layers.HttpStream
    async with proxy(Transport()) as (master, _):
        assert layers.HttpStream is not original
        assert "trigger_event" not in vars(master.addons)


# Where mitmproxy does not fit, the relay does not start


@bounded
async def test_no_addon_of_the_script_is_loaded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """As in mitmweb, where a script can be added while it runs."""
    script = tmp_path / "script.py"
    script.write_text(
        "from addons.transport import Transport\n"
        "class Second:\n"
        "    def load(self, loader): raise AssertionError('the relay runs without its transport')\n"
        "addons = [Transport(), Second()]\n"
    )
    original = layers.HttpStream
    monkeypatch.delattr(ORIGINALS["HttpStream"], "check_killed")
    with taddons.context() as context, caplog.at_level(logging.ERROR):
        loaded = Script(str(script), reload=False)
        assert loaded.addons == [] and "transport" not in context.master.addons
    assert "HttpStream has no method 'check_killed'" in caplog.text
    assert "AssertionError" not in caplog.text
    assert layers.HttpStream is original


def test_the_error_names_the_tested_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(layers, "SendHttp")
    with pytest.raises(AddonManagerError) as error:
        Transport().load(Loader(None))  # type: ignore[no-untyped-call]  # mitmproxy's
    assert str(error.value) == (
        f"mitmcodex cannot run on mitmproxy {version.VERSION}: {HTTP_MODULE} has no SendHttp."
        f" It is tested with mitmproxy {' and '.join(TESTED_VERSIONS)}:"
        f" install mitmproxy=={TESTED_VERSIONS[-1]}."
    )


def test_transport_is_the_first_addon() -> None:
    tree = ast.parse((ROOT / "addons" / "relay.py").read_text())
    (addons,) = (node for node in ast.walk(tree) if isinstance(node, ast.List))
    assert ast.unparse(addons.elts[0]) == "Transport()"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("layers.HttpStream.new_name = layers.HttpStream.__dict__['check_killed']", ""),
        ("del layers.HttpStream.check_killed", "HttpStream has no method 'check_killed'"),
        ("del layers.SendHttp", f"{HTTP_MODULE} has no SendHttp"),
    ],
)
def test_mitmproxy_ends_at_its_start(tmp_path: Path, change: str, text: str) -> None:
    """The first script changes mitmproxy; the last one ends it after a good start."""
    first, last = tmp_path / "first.py", tmp_path / "last.py"
    first.write_text(f"from mitmproxy.proxy.layers import http as layers\n{change}\n")
    last.write_text(
        "from mitmproxy import ctx\ndef running(): print('it runs'); ctx.master.shutdown()\n"
    )
    scripts = [first, ROOT / "addons" / "relay.py", last]
    process = subprocess.run(
        [
            *(MITMDUMP, "--listen-host", "127.0.0.1", "--listen-port", "0"),
            *(word for script in scripts for word in ("-s", script)),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    output = process.stdout + process.stderr
    if text:
        assert process.returncode == 1 and "it runs" not in output
        assert f"{text}. It is tested with mitmproxy {TESTED_VERSIONS[0]} and" in output
        assert "exiting" in output
    else:
        assert process.returncode == 0 and "it runs" in output, output
