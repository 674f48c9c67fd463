"""Every golden folder: the request that goes upstream, and the reply that the client gets."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests import strict_backend, strict_responses
from tests.fake_backend import ACCOUNT
from tests.provider_rules import RULES_OF_PROVIDERS
from tests.strict_chat import Rules, body_fault
from tests.translate.cases import (
    ALL_CASES,
    EXPECTED,
    MAX_FILE_BYTES,
    Case,
    UnsafeCase,
    find_cases,
    write,
)
from tests.translate.support import (
    ERROR_FIELDS,
    check_sdk_type,
    lawful_chunks,
    lawful_completion,
    lawful_events,
)

each = pytest.mark.parametrize("case", ALL_CASES, ids=str)

CHECKS = {"responses": lawful_events, "chat": lawful_chunks}
# Cases that the strict upstreams of the tests refuse. These servers take more than functions and
# the common parameters:
CAPABLE_SERVERS = {"responses/calls_custom", "responses/effort_is_a_switch"}
# Only OpenAI takes files and audio, and only Gemini signatures:
UNUSUAL_PARTS = {
    "chatgpt/chat_parts", "generic/input_file_and_audio", "generic/thought_signature",
}  # fmt: skip


@each
def test_case_produces_the_files_of_its_folder(case: Case) -> None:
    files = case.produced_files()
    expected = {name for name in EXPECTED if (case.path / name).exists()}
    assert files.keys() == expected
    for name in files:
        assert files[name].decode() == (case.path / name).read_text(), name


@each
def test_case_sends_what_a_strict_provider_accepts(case: Case) -> None:
    if case.provider.name == "chatgpt":
        assert (
            str(case) in UNUSUAL_PARTS or strict_backend.body_fault(case.upstream, ACCOUNT) is None
        )
        return
    if case.provider.dialect == "responses":
        is_exempt = case.provider.passes_through("*") or str(case) in CAPABLE_SERVERS
        assert is_exempt or strict_responses.body_fault(case.upstream) is None
        return
    rules = RULES_OF_PROVIDERS.get(case.path.parent.name, Rules())
    if '"type": "reasoning"' not in (case.path / "request.json").read_text():
        rules = replace(rules, needs_reasoning=False)  # there is no reasoning to send back
    if str(case) not in UNUSUAL_PARTS:
        assert body_fault(case.upstream, rules) is None


@each
def test_reply_of_each_case_obeys_the_laws(case: Case) -> None:
    if (stream := case.path / "client.sse").exists():
        CHECKS[case.client](stream.read_bytes())
    if (whole := case.path / "client.http").exists():
        text = whole.read_text().partition("\n\n")[2]
        if text.startswith("event: "):  # an error that Codex understands only as an event
            lawful_events(text.encode())
            return
        body = json.loads(text)
        if "error" in body and "object" not in body:
            assert body["error"].keys() >= ERROR_FIELDS
        elif case.client == "chat":
            lawful_completion(body)
        else:
            check_sdk_type({"type": "response.completed", "sequence_number": 0, "response": body})


def link_to_secret(path: Path) -> None:
    path.symlink_to(path.parents[2] / "secret")


def write_too_much(path: Path) -> None:
    path.write_bytes(b" " * (MAX_FILE_BYTES + 1))


def link_folder(path: Path) -> None:
    path.parent.rename(path.parents[2] / "elsewhere")
    path.parent.symlink_to(path.parents[2] / "elsewhere")


def link_provider_folder(path: Path) -> None:
    path.parents[1].rename(path.parents[2] / "elsewhere")
    path.parents[1].symlink_to(path.parents[2] / "elsewhere")


POISONED_FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "an input that is a link": ("reply.sse", link_to_secret),
    "an expected file that is a link": ("upstream.json", link_to_secret),
    "a table of providers that is a link": ("../provider.toml", link_to_secret),
    "a pipe": ("request.json", os.mkfifo),
    "a folder": ("request.json", Path.mkdir),
    "a huge file": ("request.json", write_too_much),
    "a folder that is a link": ("request.json", link_folder),
    "a provider's folder that is a link": ("request.json", link_provider_folder),
}


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
@pytest.mark.parametrize("poison", POISONED_FILES.values(), ids=POISONED_FILES)
def test_poisoned_case_is_not_read(
    poison: tuple[str, Callable[[Path], None]], tmp_path: Path
) -> None:
    name, add_file = poison
    folder = tmp_path / "generic" / "poisoned"
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("the secret")
    (folder / "note.md").write_text("From somebody else.")
    assert find_cases(tmp_path) == [Case(folder)]
    add_file(Path(os.path.normpath(folder / name)))
    with pytest.raises(UnsafeCase):
        find_cases(tmp_path)
    assert (tmp_path / "secret").read_text() == "the secret"


def test_poisoned_case_writes_its_own_files_only(tmp_path: Path) -> None:
    """Names that look like paths, and tables that name a host, lead nowhere."""
    folder = tmp_path / "evil" / "poisoned"
    folder.mkdir(parents=True)
    table = '[evil]\ntitle = "../evil"\nbase_urls = ["http://127.0.0.1:9/v1"]\n'
    (folder.parent / "provider.toml").write_text(table)
    request = {"model": "../../../x", "input": "<script>alert(1)</script>", "stream": True}
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "reply.sse").write_text('data: {"id": "../../x", "choices": [{"delta": {}}]}\n\n')
    (folder / "note.md").write_text("From somebody else.")
    before = set(tmp_path.rglob("*"))
    write(find_cases(tmp_path))
    added = set(tmp_path.rglob("*")) - before
    assert added <= {folder / name for name in EXPECTED} and folder / "client.sse" in added
