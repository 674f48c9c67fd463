"""What a person who types `mitmcodex` alone is told: the next step from where they are."""

from collections.abc import Sequence

from .running_relay import RunningRelay, find_running_relay
from .start_report import relay_lines
from .user_settings import load_user_settings

type Step = tuple[str, str]  # a command, and what it does

DEMO_STEP = ("mitmcodex codex", "try Codex now, on a demonstration without a model")
SETUP_STEP = ("mitmcodex setup", "choose a provider, its key and a model")
CODEX_STEP = ("mitmcodex codex", "start Codex on it")
UP_STEP = ("mitmcodex up", "start the relay for other clients, too")
STATUS_STEP = ("mitmcodex status", "what it has done so far")
OPEN_STEP = ("mitmcodex open", "the dashboard: accounts, tokens, costs")
HELP_STEP = ("mitmcodex --help", "all commands")


def next_step_lines() -> list[str]:
    if relay := find_running_relay():
        return [*relay_lines(relay), "", *step_lines(running_steps(relay))]
    settings = load_user_settings().settings
    if configured := settings.provider or settings.upstream:
        title = f"{configured} is set up, and no relay runs."
        return [title, *step_lines([CODEX_STEP, UP_STEP, HELP_STEP])]
    title = "mitmcodex runs Codex on any model. No provider is set up yet."
    return [title, *step_lines([SETUP_STEP, DEMO_STEP, HELP_STEP])]


def running_steps(relay: RunningRelay) -> list[Step]:
    is_demo = relay.health.get("provider") == "demo"
    return [CODEX_STEP, OPEN_STEP, STATUS_STEP, *([SETUP_STEP] if is_demo else [])]


def step_lines(steps: Sequence[Step]) -> list[str]:
    width = max(len(command) for command, _ in steps)
    return [f"  {command:<{width}}  {purpose}" for command, purpose in steps]
