"""Which provider and model serve a request, at which URL, and with which key or account."""

from addons.routing.account_targets import RetryWithRefresh, with_accounts
from addons.routing.codex_cli import CodexVersion
from addons.routing.error_replies import refuse_for_error
from addons.routing.model_lists import catalog_template, forget_model_lists
from addons.routing.model_selection import ModelTarget, request_role, select_model_targets
from addons.routing.target import (
    DIALECT_PATHS,
    Target,
    account_target,
    configured_provider,
    credential_headers,
    default_provider,
    displayed_target,
    has_configured_provider,
    is_target_ready,
    list_target_models,
    provider_at_port,
    provider_for_model,
    provider_key,
    target_by_name,
    upstream_headers,
)

__all__ = [
    "CodexVersion",
    "DIALECT_PATHS",
    "ModelTarget",
    "RetryWithRefresh",
    "Target",
    "account_target",
    "catalog_template",
    "configured_provider",
    "credential_headers",
    "default_provider",
    "displayed_target",
    "forget_model_lists",
    "has_configured_provider",
    "is_target_ready",
    "list_target_models",
    "provider_at_port",
    "provider_for_model",
    "provider_key",
    "refuse_for_error",
    "request_role",
    "select_model_targets",
    "target_by_name",
    "upstream_headers",
    "with_accounts",
]
