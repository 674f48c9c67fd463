"""The lines of Codex's config.toml with which Codex uses the relay: for people to copy, and for the
command line to write.

Two forms exist. With a provider table, Codex needs no login and shows the relay's models; with
`openai_base_url` the provider stays Codex's own, so that earlier sessions stay in its lists."""

import json

from addons.routing import NO_KEY

KEY_VARIABLE = "RELAY_KEY"  # the environment variable for the key of a relay that asks for one
PROVIDER_NAME = "relay"


def provider_block(relay_url: str, model: str = "", *, has_client_key: bool = False) -> str:
    """The form with a provider table. `relay_url` has no path; "" for no line with a model.

    With `has_client_key`, Codex sends the key that is in KEY_VARIABLE."""
    # Codex asks for the list of models only with some key: tried on 0.163 and 0.169.
    key_line = (
        f'env_key = "{KEY_VARIABLE}"'
        if has_client_key
        else f'experimental_bearer_token = "{NO_KEY}"'
    )
    return f"""\
{model_line(model)}model_provider = "{PROVIDER_NAME}"

[model_providers.{PROVIDER_NAME}]
name = "{PROVIDER_NAME}"
base_url = "{relay_url}/v1"
wire_api = "responses"
model_catalog_url = "{relay_url}/v1/models"
{key_line}
"""


def base_url_block(relay_url: str, model: str = "") -> str:
    """The form that leaves Codex its own provider, for a relay that asks for no key."""
    return f'{model_line(model)}openai_base_url = "{relay_url}/v1"\n'


def model_line(model: str) -> str:
    # JSON's escapes are TOML's, and other characters may stand as they are.
    return f"model = {json.dumps(model, ensure_ascii=False)}\n" if model else ""
