"""Which reply a client gets for an exception: the one table from error to reply."""

import logging

from mitmproxy.http import HTTPFlow

from addons.accounts import (
    AccountNotFound,
    AccountUnavailable,
    LoginEnded,
    LoginServiceUnreachable,
    LoginStoreUnavailable,
    NotALogin,
    PortInUse,
)
from addons.ingress import refuse_flow
from addons.large_work import LargeWorkUnavailable
from addons.routing.account_targets import answer_unavailable
from addons.storage import StorageUnavailable
from translate import BadRequest


def refuse_for_error(flow: HTTPFlow, error: Exception) -> None:
    """Reply with the error that the client gets for this exception; log any other one."""
    match error:
        case BadRequest():
            refuse_flow(flow, error.status, error.message, error.code, error.param)
        case AccountUnavailable():
            answer_unavailable(flow, error)
        case NotALogin():
            refuse_flow(flow, 400, str(error), "no_login", "path")
        case AccountNotFound():
            refuse_flow(flow, 404, str(error), "no_account")
        case PortInUse():
            message = f"{error} GET /auth/login?device=true logs in without that port."
            refuse_flow(flow, 409, message, "port_taken")
        case LoginEnded() | LoginServiceUnreachable():
            refuse_flow(flow, 502, f"The login failed: {error}", "login_failed")
        case LoginStoreUnavailable():
            refuse_flow(flow, 503, str(error), "vault_unavailable")
        case LargeWorkUnavailable():
            refuse_flow(flow, 503, str(error), "server_is_overloaded")
        case StorageUnavailable():
            refuse_flow(flow, 503, str(error), "store_unavailable")
        case _:
            logging.error("mitmcodex failed at a request", exc_info=error)
            refuse_flow(flow, 500, "mitmcodex failed at this request; its log has the reason.")
