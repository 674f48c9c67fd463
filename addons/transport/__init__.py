"""How an exchange is relayed: retries, heartbeats and clean endings, on mitmproxy's private API.

Do not import `relay_stream` here: where mitmproxy does not fit, that import fails, and `Transport`
must report the difference first.
"""

from addons.transport.addon import Transport
from addons.transport.plan import RelayPlan, attach_plan, plan_of
from addons.transport.retry_policy import RetryPolicy, build_retry_policy

__all__ = [
    "RelayPlan",
    "RetryPolicy",
    "Transport",
    "attach_plan",
    "build_retry_policy",
    "plan_of",
]
