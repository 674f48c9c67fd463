"""One request and its reply on their flow: from the route to the last byte for the client."""

from addons.exchange.active import whole_reply
from addons.exchange.addon import Translator
from addons.exchange.fallback import FallbackPlan
from addons.exchange.prepare import build_candidate
from addons.exchange.resend import copy_for_resend, forget_resent, is_resent

__all__ = [
    "FallbackPlan",
    "Translator",
    "build_candidate",
    "copy_for_resend",
    "forget_resent",
    "is_resent",
    "whole_reply",
]
