"""Every setting of the relay. The fields of `Settings` are the only table: option names, variable
names, relay.toml, messages and the README's list are made from it."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr

from addons.config.account_settings import Accounts
from addons.config.option_types import (
    Host,
    Keys,
    Name,
    Place,
    Port,
    Ports,
    Quirk,
    Renames,
    Roles,
    Seconds,
    Secret,
    Url,
    Words,
    listed,
)

ENV, OPTION = "CODEX_RELAY_", "relay_"


class Settings(Accounts):
    """Every setting. Values come as text; an empty text is the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstream: Url = Field(
        "",
        description="Base URL of the provider, as its SDKs take it.",
        examples=["https://api.deepseek.com/v1"],
    )
    api_key: Secret = Field(
        SecretStr(""),
        description="The provider's key; else its usual variable is read.",
        examples=["sk-…"],
    )
    provider: Name = Field(
        "",
        description="The provider's table in providers.toml, where the URL does not tell.",
        examples=["deepseek"],
    )
    config: str = Field(
        "",
        description="The file with all of this and your own providers.",
        examples=["~/relay.toml"],
    )
    model: str = Field(
        "",
        description="Model used for names that the upstream does not list.",
        examples=["deepseek-chat"],
    )
    model_map: Renames = Field(
        (),
        description="Renames on the way up, first match wins; `*` stands for any text. A target "
        "may be `provider/model`, or several: the next one is asked where one fails.",
        examples=["gpt-5.5:deepseek-chat,gpt-6*:kimi/kimi-k3|groq/openai/gpt-oss-120b"],
    )
    role_map: Roles = Field(
        (),
        description="Models for what Codex does beside your turns: subagent, compaction, review, "
        "title.",
        examples=["subagent:deepseek-chat,compaction:kimi/kimi-k3"],
    )
    port: Port | None = Field(
        None, description="One more port to listen on, at 127.0.0.1.", examples=["4444"]
    )
    ports: Ports = Field(
        (),
        description="Providers that have a port of their own beside it, all in this process.",
        examples=["deepseek,kimi,ollama:4460"],
    )
    isolate: bool = Field(
        True,
        description="Answer Codex's other calls to api.openai.com and chatgpt.com here.",
        examples=["off"],
    )
    openai_chat: bool = Field(
        False,
        description="Take over the Chat requests and model lists of programs that come by proxy "
        "for api.openai.com.",
        examples=["on"],
    )
    client_key: Keys = Field(
        (),
        description="Keys, one of which clients must send as Bearer; a name before it tells in the "
        "record whose it is. Opens the port to clients on other machines.",
        examples=["a-long-random-text,laptop:another-one"],
    )
    hosts: Annotated[tuple[Host, ...], BeforeValidator(listed)] = Field(
        (),
        description="Host names beside the loopback ones under which our port answers.",
        examples=["relay.lan,192.168.1.5"],
    )
    quirks_off: Annotated[tuple[Quirk, ...], BeforeValidator(listed)] = Field(
        (),
        description="Quirks not to be used with any provider.",
        examples=["dsml_calls,tagged_calls"],
    )
    tools_off: Words = Field(
        (),
        description="Tools that no model is offered, by name or `namespace.name`; `*` stands for "
        "any text.",
        examples=["view_image,mcp__browser.*"],
    )
    redact: bool = Field(
        True,
        description="Hide keys, tokens, cookies and account ids in pages, files and logs.",
        examples=["off"],
    )
    keep: Annotated[int, Field(ge=2)] = Field(
        500, description="Exchanges that mitmweb and the console keep.", examples=["100"]
    )
    keep_megabytes: Annotated[int, Field(ge=1)] = Field(
        40, description="The same, by the size of their bodies.", examples=["200"]
    )
    record: str = Field(
        "",
        description="Folder to which completed turns are appended as Chat messages, a file a day.",
        examples=["~/corpus"],
    )
    heartbeat: Seconds = Field(
        5.0, description="Seconds of silence until a client gets a sign of life.", examples=["5"]
    )
    timeout: Annotated[Seconds, Field(gt=0)] = Field(
        300.0, description="Seconds that the upstream may be silent.", examples=["300"]
    )
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description="How often a failed request is sent again.", examples=["3"]
    )
    retry_budget: Seconds = Field(
        60.0, description="Seconds in which these attempts may start.", examples=["60"]
    )
    models_ttl: Seconds = Field(
        300.0, description="Seconds that the upstream's model list is kept.", examples=["300"]
    )
    store: Place = Field(
        "",
        description="Where responses are kept for clients that ask for it: a file (else one in "
        "the user's data folder), `redis://…`, or `off`.",
        examples=["redis://localhost:6379/0"],
        repr=False,  # it may hold a password
    )
    store_days: Annotated[float, Field(gt=0, le=36_500)] = Field(
        30.0, description="Days that a conversation is kept after its last use.", examples=["7"]
    )
    store_megabytes: Annotated[float, Field(gt=0, le=1_000_000)] = Field(
        256.0,
        description="What may be kept; the conversations unused for longest go first.",
        examples=["1024"],
    )
    check: bool = Field(
        False,
        description="Translate the exchanges of a capture again that is read (`-nr`), and tell "
        "what has changed.",
        examples=["on"],
    )


# The provider's first, then those of accounts.
FIELDS = dict(
    sorted(Settings.model_fields.items(), key=lambda field: field[0] in Accounts.model_fields)
)
IN_FILE = FIELDS.keys() - {"config"}
OPTIONS = {OPTION + field: field for field in FIELDS}
VARIABLES = {ENV + field.upper(): field for field in FIELDS}
SECRETS = frozenset({"api_key", "client_key"})
CONCEALED = SECRETS | {"store"}  # whose URL may have a password in it
