"""What happens to a request before it is served: access, its route, and masks for secrets."""

from addons.ingress.access import is_own_url, is_remote_client, self_connection_step
from addons.ingress.addon import Ingress
from addons.ingress.client_keys import (
    NOT_ADMIN,
    bearer_token,
    client_identity,
    client_key_name,
    has_client_key,
    is_admin,
)
from addons.ingress.cors import cors_headers, preflight_headers
from addons.ingress.hosts import is_loopback_address
from addons.ingress.listeners import is_named_fault, listen_addresses
from addons.ingress.local_reply import (
    JSON_HEADERS,
    answer_flow,
    answer_json,
    header_text,
    refuse_flow,
)
from addons.ingress.redaction import SECRET_HEADERS, mask_headers, mask_json, mask_response
from addons.ingress.request_limits import request_content
from addons.ingress.routes import (
    OPENAI_HOSTS,
    OWN_SITE,
    RELAYED_ROUTES,
    ROUTE_KEY,
    ROUTES_BY_HOST,
    WEBSOCKET_METHOD,
    Route,
    is_codex,
    is_codex_request,
    leave_to_openai,
    path_id,
    path_methods,
    route_of,
)
from addons.ingress.secret_patterns import SECRET
from addons.ingress.session_cookie import (
    COOKIE_NAME,
    COOKIE_SECONDS,
    PAGE_HEADERS,
    is_post_token,
    issue_cookie,
    post_token,
    session_cookies,
)

__all__ = [
    "COOKIE_NAME",
    "COOKIE_SECONDS",
    "Ingress",
    "JSON_HEADERS",
    "NOT_ADMIN",
    "OPENAI_HOSTS",
    "OWN_SITE",
    "PAGE_HEADERS",
    "RELAYED_ROUTES",
    "ROUTES_BY_HOST",
    "ROUTE_KEY",
    "Route",
    "SECRET",
    "SECRET_HEADERS",
    "WEBSOCKET_METHOD",
    "answer_flow",
    "answer_json",
    "bearer_token",
    "client_identity",
    "client_key_name",
    "cors_headers",
    "has_client_key",
    "header_text",
    "is_admin",
    "is_codex",
    "is_codex_request",
    "is_loopback_address",
    "is_named_fault",
    "is_own_url",
    "is_post_token",
    "is_remote_client",
    "issue_cookie",
    "leave_to_openai",
    "listen_addresses",
    "mask_headers",
    "mask_json",
    "mask_response",
    "path_id",
    "path_methods",
    "post_token",
    "preflight_headers",
    "refuse_flow",
    "request_content",
    "route_of",
    "self_connection_step",
    "session_cookies",
]
