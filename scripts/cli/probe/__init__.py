"""What a Chat Completions endpoint really does, measured with small requests straight to it."""

from .endpoint import Endpoint, find_endpoint
from .quick import QuickFinding, quick_checks

__all__ = ["Endpoint", "QuickFinding", "find_endpoint", "quick_checks"]
