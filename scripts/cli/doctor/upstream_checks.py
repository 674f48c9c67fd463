"""The provider: whether it answers, takes the key, has the model, and does what Codex needs."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from addons.relay_health import LOOPBACK_HOSTS
from addons.routing import KEY_STATUSES, Target, is_target_ready
from translate import did_you_mean

from ..errors import CommandFailed
from ..listings.account_list import list_accounts
from ..probe import find_endpoint, quick_checks
from ..user_target import DEMO
from .codex_checks import effective_settings
from .context import DoctorContext
from .finding import DoctorFinding, Health, failure, healthy, warning
from .relay_checks import START

SERVER_STEP = "try again later, or look at the server's own log"
LIST_MODELS = "`mitmcodex models` lists what there is"


def check_provider(context: DoctorContext) -> DoctorFinding | None:
    if (target := context.target) is None:
        return None
    provider = target.provider
    if provider.accounts:
        return accounts_finding(context)
    if provider.name == DEMO:
        text = "none is configured: the demonstration answers"
        return warning("provider", text, "choose one: `mitmcodex setup`")
    if is_own_upstream(context, target):
        text = f"{target.url} is this relay itself"
        return failure("provider", text, "start the relay on another port, or correct the URL")
    if (check := context.upstream_check) is None:
        return healthy("provider", f"{provider.title}, {target.url}, not asked")
    if check.fault and check.status not in KEY_STATUSES:
        finding = warning if serves_without_list(context) else failure
        return finding("provider", check.fault, check.next_step or SERVER_STEP)
    return healthy("provider", f"{provider.title} answers at {target.url}")


def serves_without_list(context: DoctorContext) -> bool:
    """Whether the provider only has no list of models, and the settings name one."""
    check, user = context.upstream_check, context.user
    has_no_list = bool(check and check.status == 404 and not check.better_url)
    return has_no_list and bool(user and user.settings.model)


def is_own_upstream(context: DoctorContext, target: Target) -> bool:
    address = urlsplit(target.url)
    is_local = address.hostname in LOOPBACK_HOSTS
    return is_local and context.relay is not None and address.port == context.relay.port


def accounts_finding(context: DoctorContext) -> DoctorFinding:
    if not context.relay:
        return warning("provider", "ChatGPT accounts; only a running relay knows them", START)
    accounts = list_accounts(context.relay)
    if ready := [each for each in accounts if each["state"] in ("ready", "busy")]:
        return healthy("provider", f"{len(ready)} ChatGPT account{'s' * (len(ready) > 1)} ready")
    text = "no ChatGPT account can serve now" if accounts else "no ChatGPT account is logged in"
    return failure("provider", text, "log in: `mitmcodex login`; `mitmcodex accounts` shows more")


def check_key(context: DoctorContext) -> DoctorFinding | None:
    target = context.target
    if target is None or target.provider.name == DEMO or target.provider.accounts:
        return None
    check = context.upstream_check
    if check and check.status in KEY_STATUSES:
        return failure("key", check.fault, check.next_step)
    if not is_target_ready(target):
        step = target.key_origin.missing_key_step if target.key_origin else "set it"
        return failure("key", "none is set", step)
    if not target.key:
        return healthy("key", "none is set, and none seems to be needed")
    is_accepted = bool(check and check.models is not None)
    return healthy("key", "accepted" if is_accepted else "set")


def check_model(context: DoctorContext) -> DoctorFinding | None:
    """Whether the provider lists the models that the settings and Codex name."""
    check, user = context.upstream_check, context.user
    if not (check and check.models and user):
        return None
    models, settings = [entry.id for entry in check.models], user.settings
    mapped = [target for _, targets in settings.model_map for target in targets]
    for name in filter(None, (settings.model, *mapped)):
        if name not in models and "/" not in name:
            text = f"the provider does not list {name!r}"
            return failure("model", text, model_step(name, models))
    wanted = str(effective_settings(context.readable_config).get("model") or "")
    patterns = ["*"] if settings.model else [pattern for pattern, _ in settings.model_map]
    is_renamed = any(fnmatchcase(wanted, pattern) for pattern in patterns)
    if wanted and wanted not in models and not is_renamed:
        text = f"Codex's config.toml asks for {wanted!r}, which the provider does not list"
        step = "set `model` in relay.toml, which stands for such names, or choose one with /model"
        return warning("model", text, step)
    chosen = settings.model or (context.target.provider.model if context.target else "")
    default = f"; {chosen} by default" if chosen else ""
    return healthy("model", f"{len(models)} on offer{default}")


def model_step(name: str, models: list[str]) -> str:
    return did_you_mean(name, models) or f"correct `model` in relay.toml; {LIST_MODELS}"


def live_findings(context: DoctorContext) -> Iterator[DoctorFinding]:
    """Small requests to the provider, if it answers at all."""
    check, user = context.upstream_check, context.user
    if not (check and user) or (check.models is None and not serves_without_list(context)):
        return
    try:
        endpoint = find_endpoint(user)
    except CommandFailed as fault:
        yield warning("probes", fault.message, fault.next_step)
        return
    for quick in quick_checks(endpoint):
        yield DoctorFinding(quick.name, Health(quick.status), quick.text, quick.next_step)
