"""The one table from an exception to the reply that the client gets."""

import pytest

from addons.accounts.locked_file import LoginStoreUnavailable
from addons.accounts.login_callback import PortInUse
from addons.accounts.oauth import LoginServiceUnreachable
from addons.accounts.registry import AccountNotFound
from addons.routing.error_replies import refuse_for_error
from addons.storage.worker import StorageUnavailable
from tests.addons.endpoints.test_addon import error_of, flow_to
from translate import BadRequest, RequestTooLarge


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (BadRequest("id: must be a text", param="id"), 400, None, "id: must be a text"),
        (RequestTooLarge("input: too long"), 413, None, "input: too long"),
        (AccountNotFound("no account x"), 404, "no_account", "no account x"),
        (PortInUse("Port 1455 is in use."), 409, "port_taken", "device=true"),
        (LoginServiceUnreachable("no answer"), 502, "login_failed", "no answer"),
        (LoginStoreUnavailable("no keyring"), 503, "vault_unavailable", "no keyring"),
        (KeyError("hush"), 500, None, "its log has the reason"),
        (StorageUnavailable("no Redis"), 503, "store_unavailable", "no Redis"),
    ],
)
def test_errors_have_their_replies(
    error: Exception, status: int, code: str | None, message: str
) -> None:
    flow = flow_to("/auth/accounts")
    refuse_for_error(flow, error)
    reply_status, fields = error_of(flow)
    assert (reply_status, fields["code"]) == (status, code)
    assert message in fields["message"]
