"""Fields that a provider is never sent, whatever asks for them."""

from typing import Any

from translate.providers.profile import Provider

Json = dict[str, Any]


def omit(body: Json, provider: Provider, dropped: list[str]) -> None:
    """Take off what this provider is never sent."""
    for path in sorted(provider.omits):
        if _taken(body, path.split(".")):
            dropped.append(path)


def _taken(value: Any, path: list[str]) -> bool:
    """Whether anything stood at that path, in any element of the lists on the way."""
    if isinstance(value, list):
        return any([_taken(one, path) for one in value])
    if not isinstance(value, dict) or path[0] not in value:
        return False
    if len(path) > 1:
        return _taken(value[path[0]], path[1:])
    del value[path[0]]
    return True
