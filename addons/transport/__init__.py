"""How an exchange is relayed: retries, heartbeats and clean endings, on mitmproxy's private API.

Nothing here may import `relay_stream`: where mitmproxy does not fit, `Transport` says so first.
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
