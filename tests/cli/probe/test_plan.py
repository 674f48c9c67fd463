"""What a session costs at most is known before it starts."""

from addons.config import ConfigFile
from scripts.cli.probe.endpoint import Endpoint
from scripts.cli.probe.plan import ProbePlan, plan_session
from scripts.cli.probe.probes import ALL_PROBES
from scripts.cli.probe.session import ProbeLimits

PROVIDERS = ConfigFile.empty().providers
PROBES = [probe for probe in ALL_PROBES if not probe.option]
WINDOW = [probe for probe in ALL_PROBES if probe.option == "window"]


def test_requests_stay_below_the_limit_that_the_command_has() -> None:
    local = Endpoint("http://localhost:8000/v1", PROVIDERS["generic"], "m")
    plan = plan_session(local, PROBES, ProbeLimits())
    assert 60 < plan.requests < ProbeLimits().requests
    assert plan.output_tokens < 20_000 and plan.input_tokens < 10_000
    assert plan_session(local, PROBES, ProbeLimits(requests=9)).requests == 9
    assert plan.dollars is None
    assert plan.to_text().endswith("at a price that is not known")


def test_known_model_has_a_price() -> None:
    deepseek = Endpoint("https://api.deepseek.com/v1", PROVIDERS["deepseek"], "deepseek-chat")
    dollars = plan_session(deepseek, PROBES, ProbeLimits()).dollars
    assert dollars is not None and 0 < dollars < 0.1
    assert plan_session(deepseek, WINDOW, ProbeLimits()).input_tokens > 300_000


def test_amount_is_rounded_up() -> None:
    assert ProbePlan(2, 10, 10, 0.0001).to_text().endswith("for $0.01 at most")
    assert ProbePlan(2, 10, 10, 0.0201).to_text().endswith("for $0.03 at most")
