"""Answers requests: the table from route to handler."""

from collections.abc import Awaitable, Callable, Mapping

from mitmproxy.http import HTTPFlow

from addons.endpoints import (
    auth,
    codex_calls,
    input_tokens,
    models,
    own_port,
    stored_responses,
)
from addons.ingress import Route, route_of
from addons.routing import forget_model_lists, refuse_for_error

type Handler = Callable[[HTTPFlow], Awaitable[None]]

HANDLERS: Mapping[Route, Handler] = {
    Route.INDEX: own_port.answer_index,
    Route.HEALTH: own_port.answer_health,
    Route.METRICS: own_port.answer_metrics,
    Route.PREFLIGHT: own_port.answer_preflight,
    Route.MISSING: own_port.answer_missing_path,
    Route.METHOD: own_port.answer_wrong_method,
    Route.MODELS: models.answer_model_list,
    Route.MODEL: models.answer_model,
    Route.RETRIEVE: stored_responses.answer_retrieve,
    Route.DELETE: stored_responses.answer_delete,
    Route.ITEMS: stored_responses.answer_input_items,
    Route.CANCEL: stored_responses.answer_cancel,
    Route.INPUT_TOKENS: input_tokens.answer_input_tokens,
    Route.ACCOUNT: codex_calls.answer_account_check,
    Route.UPGRADE: codex_calls.answer_upgrade,
    Route.ISOLATED: codex_calls.answer_isolated,
    Route.ACCOUNTS: auth.answer_accounts,
    Route.LOGIN: auth.answer_login,
    Route.LOGOUT: auth.answer_logout,
    Route.SELECT: auth.answer_select,
    Route.IMPORT: auth.answer_import,
    Route.IDENTITY: auth.answer_identity,
}


class Endpoints:
    def request(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """The handler's work, which mitmproxy awaits; None for flows that have no handler."""
        if flow.response or not flow.live:
            return None
        handler = HANDLERS.get(route_of(flow))
        return run_handler(handler, flow) if handler else None

    def done(self) -> None:
        forget_model_lists()


async def run_handler(handler: Handler, flow: HTTPFlow) -> None:
    try:
        await handler(flow)
    except Exception as error:  # without a reply the flow would go to the host the client named
        refuse_for_error(flow, error)
