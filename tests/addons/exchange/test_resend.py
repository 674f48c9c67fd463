from mitmproxy.test import tflow

from addons.exchange.resend import copy_for_resend, forget_resent, is_resent
from addons.flow_data import CLIENT_NAME, OWN_PORT, RESENT_FROM


def test_copy_has_the_request_without_its_credentials() -> None:
    flow = tflow.tflow(resp=True)
    flow.request.headers.update({"authorization": "Bearer k", "cookie": "a=1", "x-kept": "1"})
    flow.metadata |= {OWN_PORT: True, CLIENT_NAME: "ann", "relay.facts": {}}
    copied = copy_for_resend(flow)
    assert copied.request.content == flow.request.content
    assert "authorization" not in copied.request.headers and "cookie" not in copied.request.headers
    assert copied.request.headers["x-kept"] == "1"
    assert copied.metadata == {OWN_PORT: True, CLIENT_NAME: "ann", RESENT_FROM: flow.id}
    assert copied.comment == f"resent from {flow.id}"
    assert copied.response is None and copied.id != flow.id
    assert flow.request.headers["authorization"] == "Bearer k"


def test_copy_is_resent_until_it_ends_and_the_original_never() -> None:
    flow = tflow.tflow()
    copied = copy_for_resend(flow)
    assert is_resent(copied) and not is_resent(flow)
    copied.backup()
    forget_resent(copied)
    assert not is_resent(copied) and not copied.modified()


def test_backup_of_another_flow_is_left_alone() -> None:
    flow = tflow.tflow()
    flow.backup()
    flow.comment = "changed"
    forget_resent(flow)
    assert flow.modified()


def test_key_in_the_metadata_of_a_file_makes_no_flow_a_resent_one() -> None:
    flow = tflow.tflow()
    flow.metadata[RESENT_FROM] = "some-id"
    assert not is_resent(flow)
