"""Runs the steps that follow from an event of an exchange. None of them can prevent another."""

import logging
from collections.abc import Callable, Mapping


def run_steps(occasion: str, steps: Mapping[str, Callable[[], object]]) -> None:
    """Call each step; a failure is logged with the name of its step. Never raises."""
    for name, run_step in steps.items():
        try:
            run_step()
        except Exception:
            logging.exception(f"mitmcodex failed at the {occasion} of an exchange: {name}")
