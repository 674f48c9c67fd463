"""The interview: it takes what the flags say, asks for the rest, and writes nothing."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from pydantic import SecretStr

from addons.config import (
    KEYRING_PREFIX,
    ConfigFile,
    resolve_keyring_entry,
    validate_header_value,
)
from addons.routing import KEY_STATUSES, KeyOrigin, UpstreamCheck, check_upstream
from translate import CatalogModel

from ..errors import CommandFailed
from .choices import (
    CODEX_WAYS,
    MOST_MODELS,
    OTHER_URL,
    Choice,
    ChosenKey,
    ChosenUpstream,
    CodexWay,
    choose_upstream,
    default_model,
    key_from_variables,
    match_choice,
    match_model,
    model_choices,
    provider_choices,
)
from .local_servers import LocalServer, find_local_servers

KEY_ATTEMPTS = 3
KEY_STEP = "pass one with --key-stdin or --key-env NAME"
PLACE_KEYS = ("provider", "upstream")  # what relay.toml says of the upstream


class KeyStorage(StrEnum):
    """Where a key is kept."""

    KEYRING, FILE = "keyring", "file"


class Questions(Protocol):
    """How the interview talks to the user. Without a terminal, each method raises CommandFailed,
    which names the flag that answers."""

    def choose(self, title: str, choices: Sequence[Choice], default: str, flag: str) -> str:
        """One of the choices, by whatever text the user types."""

    def ask_text(self, title: str, flag: str) -> str: ...

    def ask_secret(self, title: str, flag: str) -> str: ...

    def confirm(self, title: str, flag: str) -> bool: ...

    def say(self, text: str) -> None: ...


@dataclass(frozen=True)
class SetupFlags:
    """What the command line says; "" and None where it is silent."""

    provider: str = ""
    upstream: str = ""
    key: ChosenKey | None = None
    model: str = ""
    way: CodexWay | None = None
    key_storage: str = ""
    skips_check: bool = False


@dataclass(frozen=True)
class SetupResult:
    """What is to be written."""

    upstream: ChosenUpstream
    key: ChosenKey
    key_storage: str  # "" for a key that is not stored
    model: str
    way: CodexWay

    @property
    def settings(self) -> dict[str, str]:
        """The values for relay.toml."""
        values = dict(self.upstream.settings)
        if self.key_storage == KeyStorage.KEYRING:
            values["api_key"] = KEYRING_PREFIX + self.upstream.key_name
        elif api_key := self.key.text if self.key_storage else self.key.setting:
            values["api_key"] = api_key
        return values | ({"model": self.model} if self.model else {})


@dataclass(frozen=True)
class Interview:
    flags: SetupFlags
    questions: Questions = field(repr=False)
    file: ConfigFile
    variables: Mapping[str, str] = field(repr=False)
    has_keyring: Callable[[], bool]  # asks the system, which may want to be unlocked

    def hold(self) -> SetupResult:
        """Ask all that the flags leave open. Raises CommandFailed."""
        upstream = self.choose_upstream()
        upstream, key, check = self.choose_key(upstream)
        storage = ""
        if key.text and not key.stays_there:
            storage = self.flags.key_storage or self.usual_storage()
        model = self.choose_model(upstream, check.models if check else None)
        return SetupResult(upstream, key, storage, model, self.choose_way())

    def usual_storage(self) -> str:
        return KeyStorage.KEYRING if self.has_keyring() else KeyStorage.FILE

    # the provider

    def choose_upstream(self) -> ChosenUpstream:
        providers, flags = self.file.providers, self.flags
        if flags.provider or flags.upstream:
            return upstream_or_failure(flags.provider, flags.upstream, self.file)
        servers = asyncio.run(find_local_servers(providers))
        choices = provider_choices(providers, servers, self.variables)
        # Names that the list leaves out, such as servers that do not run, may be typed, too.
        while True:
            text = self.questions.choose(
                "Which provider shall serve?", choices, "1", "--provider or --upstream"
            )
            try:
                return self.upstream_from_answer(text, choices, servers)
            except ValueError as wrong:
                self.questions.say(sentence(str(wrong)))

    def upstream_from_answer(
        self, text: str, choices: Sequence[Choice], servers: Sequence[LocalServer]
    ) -> ChosenUpstream:
        """Raises ValueError."""
        providers = self.file.providers
        if ":" in text or "/" in text:
            return choose_upstream("", text, providers)
        name = text if text in providers else match_choice(text, choices)
        if name == OTHER_URL:
            title = "Its base URL, such as http://localhost:8000/v1"
            return choose_upstream("", self.questions.ask_text(title, "--upstream"), providers)
        return choose_upstream(name, "", providers, servers)

    # the key

    def choose_key(
        self, upstream: ChosenUpstream
    ) -> tuple[ChosenUpstream, ChosenKey, UpstreamCheck | None]:
        """The key, and what the upstream said to it. The URL is corrected where it lacks /v1."""
        key = self.key_at_hand(upstream)
        if not upstream.needs_check:
            return upstream, ChosenKey(), None
        if key and key.stays_there:
            self.questions.say(f"The key is in {key.place}; the relay reads it there.")
        if key is None and not upstream.is_local:
            key = self.ask_key(upstream)
        if self.flags.skips_check:
            return upstream, key or ChosenKey(), None
        for attempt in range(KEY_ATTEMPTS):
            check = request_check(upstream, key or ChosenKey())
            if check.better_url:
                self.questions.say(f"The URL is {check.better_url}, with the version in it.")
                upstream = upstream_or_failure(self.flags.provider, check.better_url, self.file)
                check = request_check(upstream, key or ChosenKey())
            if not check.fault or check.status not in KEY_STATUSES or self.flags.key:
                break
            if attempt < KEY_ATTEMPTS - 1:
                if key:
                    self.questions.say(sentence(check.fault))
                key = self.ask_key(upstream)
        self.report_check(upstream, check)
        return upstream, key or ChosenKey(), check

    def key_at_hand(self, upstream: ChosenUpstream) -> ChosenKey | None:
        """The key of the flags, else of the provider's own variable, where it may stay."""
        key, own = self.flags.key, key_from_variables(upstream, self.variables)
        if own and (key is None or (key.place == own.place and not self.flags.key_storage)):
            return own
        return key or self.stored_key(upstream)

    def stored_key(self, upstream: ChosenUpstream) -> ChosenKey | None:
        """The key in relay.toml, if it is there for this upstream."""
        values = {key: value for key, value in self.file.values.items() if key in PLACE_KEYS}
        setting = str(self.file.values.get("api_key", ""))
        if not setting or values != upstream.settings:
            return None
        try:
            text = resolve_keyring_entry(SecretStr(setting)).get_secret_value()
        except ValueError as missing:
            self.questions.say(sentence(str(missing)))
            return None
        return ChosenKey(text, str(self.file.path), stays_there=True, setting=setting)

    def ask_key(self, upstream: ChosenUpstream) -> ChosenKey:
        provider = upstream.provider
        if provider.keys_page:
            self.questions.say(f"{provider.title} gives out keys at {provider.keys_page}")
        while True:
            text = self.questions.ask_secret(
                f"The key for {upstream.title} (hidden; Enter for none)",
                "--key-stdin or --key-env NAME",
            )
            try:
                return valid_key(text, "your answer")
            except CommandFailed as wrong:
                self.questions.say(sentence(wrong.message))

    def report_check(self, upstream: ChosenUpstream, check: UpstreamCheck) -> None:
        """Say that all is well, or ask whether to go on. Raises CommandFailed."""
        if not check.fault:
            count = len(check.models or ())
            self.questions.say(
                f"{upstream.title} answers and lists {count} model{'s' * (count != 1)}."
            )
            return
        fault = " ".join(sentence(text) for text in (check.fault, check.next_step) if text)
        if not self.questions.confirm(f"{fault}\nSet it up all the same?", "--no-check"):
            advice = check.next_step or "check the URL and the key"
            raise CommandFailed(check.fault, f"{advice} (or write it all the same: --no-check)")

    # the model, and how Codex comes

    def choose_model(self, upstream: ChosenUpstream, models: Sequence[CatalogModel] | None) -> str:
        entries = [model for model in models or () if model.chat and not model.hidden]
        current = str(self.file.values.get("model", ""))
        default = default_model(upstream, entries, current)
        if self.flags.model:
            return self.model_from_flag(entries)
        if not upstream.needs_check or not entries:
            return default
        search = ""
        while True:
            choices, hidden_count = model_choices(entries, default, search)
            title = "Which model shall serve by default?"
            if hidden_count:
                title += f" ({hidden_count} more: type a name, or a part of it)"
            text = self.questions.choose(title, choices, default, "--model")
            try:
                return match_model(text, entries, choices) or default
            except ValueError as wrong:
                search = text if model_choices(entries, default, text)[0] else ""
                if not search:
                    self.questions.say(sentence(str(wrong)))

    def model_from_flag(self, models: Sequence[CatalogModel]) -> str:
        """Raises CommandFailed for a model that the upstream does not list."""
        try:
            return match_model(self.flags.model, models)
        except ValueError as wrong:
            if self.flags.skips_check:
                return self.flags.model
            names = ", ".join(model.id for model in models[:MOST_MODELS])
            count = f" and {len(models) - MOST_MODELS} more" if models[MOST_MODELS:] else ""
            raise CommandFailed(f"--model: {wrong}", f"choose one of {names}{count}") from None

    def choose_way(self) -> CodexWay:
        if self.flags.way:
            return self.flags.way
        while True:
            text = self.questions.choose(
                "How will you start Codex?", CODEX_WAYS, CodexWay.COMMAND, "--codex"
            )
            try:
                return CodexWay(match_choice(text, CODEX_WAYS))
            except ValueError as wrong:
                self.questions.say(sentence(str(wrong)))


def upstream_or_failure(name: str, url: str, file: ConfigFile) -> ChosenUpstream:
    """Raises CommandFailed."""
    try:
        return choose_upstream(name, url, file.providers)
    except ValueError as wrong:
        flag, next_step = (
            ("--upstream", "write it as in `--upstream http://localhost:8000/v1`")
            if url
            else ("--provider", "`mitmcodex providers` lists them")
        )
        raise CommandFailed(f"{flag}: {wrong}", next_step) from None


def valid_key(text: str, place: str) -> ChosenKey:
    """Raises CommandFailed for a text that no header can carry."""
    key = text.strip()
    try:
        validate_header_value(SecretStr(key or "-"))
    except ValueError as wrong:
        raise CommandFailed(f"the key from {place} {wrong}", "paste the key alone") from None
    return ChosenKey(key, place)


def request_check(upstream: ChosenUpstream, key: ChosenKey) -> UpstreamCheck:
    """One request for the list of models."""
    provider = upstream.provider
    origin = KeyOrigin(key.place if key.text else "")
    headers = {**provider.headers, **provider.key_headers(key.text)}
    check = asyncio.run(check_upstream(upstream.url, headers, key=origin))
    lacks_key = check.status in KEY_STATUSES and not key.text
    return replace(check, next_step=KEY_STEP) if lacks_key else check


def sentence(text: str) -> str:
    end = "" if text.endswith("?") else "."
    return f"{text[:1].upper()}{text[1:]}{end}"
