"""The small pages of the relay's own port, and its errors for paths that it does not serve."""

import os
import time
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.identity import MARK_VARIABLE, VERSION
from addons.ingress import (
    NOT_ADMIN,
    OWN_SITE,
    ROUTES_BY_HOST,
    WEBSOCKET_METHOD,
    answer_flow,
    answer_json,
    has_client_key,
    is_admin,
    path_methods,
    preflight_headers,
    refuse_flow,
)
from addons.observe import METRICS_CONTENT_TYPE, metrics_page
from addons.routing import displayed_target
from addons.start_report import report_to_json
from addons.startup import start_report

START_TIME = time.monotonic()

INDEX_PAGE = """\
mitmcodex {version}, upstream: {title}. Dashboard: http://{host}/relay/
{problem}
Set-up:        mitmcodex setup asks for a provider, its key and a model
Codex, proxy:  HTTPS_PROXY=http://{host} and CODEX_CA_CERTIFICATE=~/.mitmproxy/mitmproxy-ca-cert.pem
Codex, URL:    base_url = "http://{host}/v1" in a provider's table of ~/.codex/config.toml
Other clients: http://{host}/v1 is a base URL of Chat Completions and of the Responses API
ChatGPT login: http://{host}/auth/login

Paths: {paths}
"""


async def answer_index(flow: HTTPFlow) -> None:
    provider = displayed_target(flow).provider
    host = flow.request.host_header or f"127.0.0.1:{flow.client_conn.sockname[1]}"
    report = start_report() if has_client_key(flow) else None
    page = INDEX_PAGE.format(
        version=VERSION,
        title=provider.title,
        host=host,
        paths=served_paths(),
        problem=f"Problem: {report.problem}\n" if report and report.problem else "",
    )
    answer_flow(flow, 200, page, content_type="text/plain; charset=utf-8")


async def answer_health(flow: HTTPFlow) -> None:
    """`mark` lets the process that has started this relay recognise it. Where client keys are set,
    requests without one do not learn where the relay sends theirs. `report`: see
    addons/start_report.py."""
    health: dict[str, Any] = {"status": "ok", "version": VERSION}
    if has_client_key(flow):
        target = displayed_target(flow)
        report = start_report()
        health |= {"provider": target.provider.name, "upstream": target.url}
        health["report"] = report_to_json(report) if report else None
    if MARK_VARIABLE in os.environ:
        health["mark"] = os.environ[MARK_VARIABLE]
    answer_json(flow, {**health, "uptime": round(time.monotonic() - START_TIME, 1)})


async def answer_metrics(flow: HTTPFlow) -> None:
    if not is_admin(flow):  # they count everybody's exchanges
        refuse_flow(flow, 403, NOT_ADMIN, "not_admin")
        return
    answer_flow(flow, 200, metrics_page(), content_type=METRICS_CONTENT_TYPE)


async def answer_preflight(flow: HTTPFlow) -> None:
    answer_flow(flow, 204, b"", **preflight_headers(flow))


async def answer_missing_path(flow: HTTPFlow) -> None:
    message = f"{request_name(flow)}: no such path. Paths: {served_paths()}"
    refuse_flow(flow, 404, message, "not_found")


async def answer_wrong_method(flow: HTTPFlow) -> None:
    methods = path_methods(OWN_SITE, flow.request.path)
    allow = ", ".join(method for method in methods if method != WEBSOCKET_METHOD)
    message = f"{request_name(flow)}: this path allows {allow}"
    refuse_flow(flow, 405, message, "method_not_allowed", allow=allow)


def request_name(flow: HTTPFlow) -> str:
    return f"{flow.request.method} {flow.request.path.partition('?')[0][:200]}"


def served_paths() -> str:
    """All methods and paths of the relay's own port, as text for people."""
    return ", ".join(
        f"{method} {path}"
        for path, methods in ROUTES_BY_HOST[OWN_SITE].items()
        for method in methods
        if method not in (WEBSOCKET_METHOD, "OPTIONS")
    )
