"""Every setting of the relay. The fields of `Settings` are the only table: the names of options and
variables, the keys of relay.toml, messages and the README's table come from it."""

from typing import Annotated, NamedTuple

from pydantic import ConfigDict, Field, SecretStr

from addons.config.limit_settings import LimitSettings
from addons.config.option_types import (
    AccountStrategy,
    BaseUrl,
    ClientKeys,
    FilePath,
    HostNames,
    ModelMap,
    PortNumber,
    ProviderKey,
    ProviderName,
    ProviderPorts,
    QuirkNames,
    RecordFolder,
    RetryLimit,
    RetryLimits,
    RoleMap,
    Seconds,
    StoreLimit,
    StoreLimits,
    StoreLocation,
    ToolNames,
    ViewLimit,
    ViewLimits,
)

VARIABLE_PREFIX, OPTION_PREFIX = "CODEX_RELAY_", "relay_"


class Settings(LimitSettings):
    """All settings. Values are given as text; an empty text means the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstream: BaseUrl = Field(
        "",
        description="Base URL of the provider, in the form that an OpenAI SDK takes.",
        examples=["https://api.deepseek.com/v1"],
    )
    api_key: ProviderKey = Field(
        SecretStr(""),
        description="The provider's API key. By default, the relay reads it from the variable "
        "that the provider itself uses, such as DEEPSEEK_API_KEY. `keyring:NAME` stands for the "
        "key of that name in the system's keyring, where `mitmcodex setup` stores it.",
        examples=["sk-…"],
    )
    provider: ProviderName = Field(
        "",
        description="Name of the provider. It can replace `relay_upstream`, and is needed where "
        "the URL does not show which provider it is.",
        examples=["deepseek"],
    )
    config: FilePath = Field(
        "",
        description="Path of relay.toml, the file that may hold all of these options and your own "
        "providers.",
        examples=["~/relay.toml"],
    )
    model: str = Field(
        "",
        description="Model to use when a request names one that the provider does not list.",
        examples=["deepseek-chat"],
    )
    model_map: ModelMap = Field(
        (),
        description="Which model to use for which requested name, as `name:model`; the first "
        "match counts, and `*` matches any text. A model may be written `provider/model`. "
        "Several, separated by `|`, are tried in order until one answers.",
        examples=["gpt-5.5:deepseek-chat,gpt-6*:kimi/kimi-k3|groq/openai/gpt-oss-120b"],
    )
    role_map: RoleMap = Field(
        (),
        description="Models for the tasks that Codex starts itself: subagent, compaction, review "
        "and title.",
        examples=["subagent:deepseek-chat,compaction:kimi/kimi-k3"],
    )
    port: PortNumber | None = Field(
        None, description="Additional port to listen on, at 127.0.0.1.", examples=["4444"]
    )
    ports: ProviderPorts = Field(
        (),
        description="Providers that also get a port of their own. Without a number, it is the "
        "port in the table of providers.",
        examples=["deepseek,kimi,ollama:4460"],
    )
    isolate: bool = Field(
        True,
        description="Answer Codex's other calls to api.openai.com and chatgpt.com (plugins, "
        "analytics, account pages) here instead of sending them to OpenAI.",
        examples=["off"],
    )
    openai_chat: bool = Field(
        False,
        description="Also relay the Chat requests and model lists that programs send to "
        "api.openai.com through this proxy.",
        examples=["on"],
    )
    client_key: ClientKeys = Field(
        (),
        description="Opens the port to other machines: each request must carry one of these keys "
        "as its Bearer token, or its proxy's URL as the password. With `name:key`, exchanges and "
        "what is stored belong to that name; the key named `admin`, or the only one without a "
        "name, sees all.",
        examples=["a-long-random-text,laptop:another-one"],
    )
    hosts: HostNames = Field(
        (),
        description="Additional host names and addresses under which clients may reach the relay; "
        "this machine's own are always allowed.",
        examples=["relay.lan,192.168.1.5"],
    )
    quirks_off: QuirkNames = Field(
        (),
        description="Workarounds for particular models (`quirks` in the table of providers) to "
        "switch off for all providers.",
        examples=["dsml_calls,tagged_calls"],
    )
    tools_off: ToolNames = Field(
        (),
        description="Tools to hide from all models, as `name` or `namespace.name`; `*` matches "
        "any text.",
        examples=["view_image,mcp__browser.*"],
    )
    redact: bool = Field(
        True,
        description="Hide keys, tokens, cookies and account ids in mitmproxy's pages, files and "
        "logs.",
        examples=["off"],
    )
    keep: ViewLimit = Field(
        ViewLimits(),
        description="How many finished exchanges mitmweb and the console keep, and how many "
        "megabytes (MB) these may take. The oldest are removed first.",
        examples=["100,200MB"],
    )
    private: bool = Field(
        False,
        description="Write nothing to disk of what passes through: no stored responses, no usage "
        "totals, no recorded turns, and no contents in the log. Logins are kept all the same.",
        examples=["on"],
    )
    record: RecordFolder = Field(
        "",
        description="Folder in which completed turns are saved as Chat messages, one line for "
        "each turn and one file for each day.",
        examples=["~/corpus"],
    )
    heartbeat: Seconds = Field(
        5.0,
        description="Seconds of silence in a stream after which the client gets a heartbeat; 0 "
        "switches heartbeats off.",
        examples=["5"],
    )
    timeout: Annotated[Seconds, Field(gt=0)] = Field(
        300.0,
        description="Give up on a provider that has sent nothing for this many seconds.",
        examples=["300"],
    )
    retries: RetryLimit = Field(
        RetryLimits(),
        description="How many times a failed request is sent again, and how many seconds (s) "
        "after the request the last attempt may start.",
        examples=["5,120s"],
    )
    models_ttl: Seconds = Field(
        300.0,
        description="Seconds after which a provider's list of models is fetched again.",
        examples=["300"],
    )
    store: StoreLocation = Field(
        "",
        description="Where stored responses, remembered reasoning and usage totals are kept: the "
        "path of a file (by default in the user's data folder), `redis://…`, or `off`, which "
        "stores no responses and keeps the rest in memory.",
        examples=["redis://localhost:6379/0"],
        repr=False,  # it may contain a password
    )
    store_limit: StoreLimit = Field(
        StoreLimits(),
        description="How many days (d) a stored conversation is kept after its last use, and how "
        "many megabytes (MB) all of them may take. Those unused for longest are removed first.",
        examples=["7d,1024MB"],
    )
    check: bool = Field(
        False,
        description="When mitmproxy reads a capture (`-nr`), translate its exchanges again and "
        "report what has changed.",
        examples=["on"],
    )
    chatgpt_base: BaseUrl = Field(
        "https://chatgpt.com/backend-api",
        description="Base URL of the service behind ChatGPT accounts.",
        examples=["https://chatgpt.com/backend-api"],
    )
    chatgpt_issuer: BaseUrl = Field(
        "https://auth.openai.com",
        description="Base URL of the service where ChatGPT accounts log in.",
        examples=["https://auth.openai.com"],
    )
    chatgpt_auth: FilePath = Field(
        "",
        description="Path of Codex's `auth.json`: the relay uses the login in it, and saves the "
        "renewed login there.",
        examples=["~/.codex/auth.json"],
    )
    vault: FilePath = Field(
        "",
        description="File for the logins made with the relay. By default they are in the system's "
        "keyring or, where there is none, in a file in the user's data folder.",
        examples=["~/.mitmcodex.vault"],
    )
    account: str = Field(
        "",
        description="ChatGPT account to use, by its id or e-mail address. By default it is the "
        "one selected on the dashboard, else the first.",
        examples=["me@example.com"],
    )
    account_strategy: AccountStrategy = Field(
        "selected",
        description="How one of several accounts is chosen: `selected` (always the selected one), "
        "`least_used`, `round_robin` (each in turn) or `sticky` (one for each conversation).",
        examples=["least_used"],
    )
    account_failover: bool = Field(
        False,
        description="Use another account when the chosen one is out of quota.",
        examples=["on"],
    )
    account_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        4, description="How many requests an account serves at the same time.", examples=["3"]
    )
    instructions: str = Field(
        "",
        description="Instructions for the model of an account when the client sends none; by "
        "default, a single line.",
        examples=["You are a careful engineer."],
    )


class Replacement(NamedTuple):
    """What replaces a deprecated setting: a setting, and the unit of the value there."""

    setting: str
    unit: str
    example: str  # a valid value of the deprecated setting


DEPRECATED = {
    "keep_megabytes": Replacement("keep", "MB", "200"),
    "retry_budget": Replacement("retries", "s", "120"),
    "store_days": Replacement("store_limit", "d", "7"),
    "store_megabytes": Replacement("store_limit", "MB", "1024"),
}
REPLACEMENTS = sorted({replacement.setting for replacement in DEPRECATED.values()})

SETTING_FIELDS = Settings.model_fields
SETTING_NAMES = (*SETTING_FIELDS, *DEPRECATED)
FILE_FIELDS = frozenset(SETTING_NAMES) - {"config"}
FIELD_OF_OPTION = {OPTION_PREFIX + name: name for name in SETTING_NAMES}
FIELD_OF_VARIABLE = {VARIABLE_PREFIX + name.upper(): name for name in SETTING_NAMES}
SECRET_FIELDS = frozenset({"api_key", "client_key"})
CONCEALED_FIELDS = SECRET_FIELDS | {"store"}  # its URL may contain a password
ADVANCED_FIELDS = frozenset({"chatgpt_base", "chatgpt_issuer"})  # tests, private deployments
