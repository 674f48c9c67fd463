"""`responses.stream()` of the official SDK for Node, which throws on events that are not for it."""

import pytest

from tests.deployments import Deployments
from tests.node.conftest import Node
from tests.replies import say, think


@pytest.mark.parametrize("service", ["file", "provider"])
def test_helper_streams_the_reply_of_each_service(
    service: str, node: Node, deployments: Deployments
) -> None:
    """An account's service sends `codex.rate_limits` before the first event of the response."""
    deployment = deployments.deployment(service)
    deployment.upstream.reply(think("Greet."), say("Hello — ¡olé!"))
    base = f"{deployment.relay.url}/v1"
    result = node.run_script("responses.mjs", base=base, model=deployment.model)
    assert result["text"] == "Hello — ¡olé!"
    assert all(type.startswith("response.") for type in result["types"])
    assert (result["types"][0], result["types"][-1]) == ("response.created", "response.completed")
