"""What the user can do about an upstream's error reply."""

from addons.routing.key_origin import KEY_STATUSES
from addons.routing.model_selection import ModelTarget
from addons.routing.target import lacks_version, seen_models
from addons.routing.upstream_check import MISSING_VERSION, VERSION_PATH
from translate import printable

SHOWN_MODELS = 5  # of the provider's list


def reply_advice(model_target: ModelTarget, status: int) -> str:
    """What the user can do about a reply of this target with this status; "" if no more is known
    than without the target."""
    target = model_target.target
    if model_target.recorded_advice is not None:
        return model_target.recorded_advice
    if target.key_origin and status in KEY_STATUSES:
        return target.key_origin.refusal_advice(status)
    return missing_page_step(model_target) if status == 404 else ""


def missing_page_step(model_target: ModelTarget) -> str:
    """What may help against a 404: another model, or another URL; "" if neither is known."""
    target = model_target.target
    models = seen_models(target)
    names = [model.id for model in models if model.chat and not model.hidden]
    if names and model_target.model not in [model.id for model in models]:
        return f"its models are {first_names(names)}; relay_model can name one"
    if not target.provider.accounts and lacks_version(target.url, target.provider):
        step = f"did you mean {target.url}{VERSION_PATH}? Else check the model's name"
        return f"{MISSING_VERSION}: {step}"
    return ""


def first_names(names: list[str]) -> str:
    """`a, b, c and 40 more`"""
    text = ", ".join(printable(name, 100) for name in names[:SHOWN_MODELS])
    rest = len(names) - SHOWN_MODELS
    return f"{text} and {rest} more" if rest > 0 else text
