"""Which provider and model serve a request, at which URL, and with which key or account."""

from addons.routing.account_targets import RetryWithRefresh, with_accounts
from addons.routing.codex_cli import NEWEST_CODEX_VERSION, CodexVersion
from addons.routing.error_replies import refuse_for_error
from addons.routing.key_origin import KEY_STATUSES, KeyOrigin
from addons.routing.model_lists import base_instructions, catalog_template, forget_model_lists
from addons.routing.model_selection import ModelTarget, request_role, select_model_targets
from addons.routing.reply_advice import reply_advice
from addons.routing.target import (
    DIALECT_PATHS,
    NO_KEY,
    Target,
    account_target,
    check_own_url,
    check_target,
    configured_provider,
    credential_headers,
    default_provider,
    displayed_target,
    has_configured_provider,
    is_target_ready,
    list_target_models,
    main_target,
    provider_at_port,
    provider_for_model,
    provider_for_url,
    serves_url,
    target_by_name,
    target_with_key,
    upstream_headers,
)
from addons.routing.upstream_check import (
    UpstreamCheck,
    check_upstream,
    exception_text,
    read_list_reply,
)

__all__ = [
    "CodexVersion",
    "DIALECT_PATHS",
    "KEY_STATUSES",
    "KeyOrigin",
    "ModelTarget",
    "NEWEST_CODEX_VERSION",
    "NO_KEY",
    "RetryWithRefresh",
    "Target",
    "UpstreamCheck",
    "account_target",
    "base_instructions",
    "catalog_template",
    "check_own_url",
    "check_target",
    "check_upstream",
    "configured_provider",
    "credential_headers",
    "default_provider",
    "displayed_target",
    "exception_text",
    "forget_model_lists",
    "has_configured_provider",
    "is_target_ready",
    "list_target_models",
    "main_target",
    "provider_at_port",
    "provider_for_model",
    "provider_for_url",
    "read_list_reply",
    "refuse_for_error",
    "reply_advice",
    "request_role",
    "select_model_targets",
    "serves_url",
    "target_by_name",
    "target_with_key",
    "upstream_headers",
    "with_accounts",
]
