"""Names say what a thing is: the limits on them, over all of our Python source.

`python -m tests.architecture.naming` prints what these tests count."""

from pathlib import Path

import pytest

from tests.architecture.members import SharedName, duplicate_classes, shared_members
from tests.architecture.naming import count_words, forbidden_bindings
from tests.architecture.sources import ROOT, TREES, Source, hook_names, read_sources

MOST_ONE_WORD = 0.60  # of all function names; httpx has 62 %, mitmproxy's addons 56 %

# Names that several classes introduce, with their one meaning in all of them. Not here: data with
# one annotation everywhere.
SHARED_CONTRACTS = {
    "HANDLERS": "type of an event or item → the method that handles it",
    "add_call": "takes the next tool call of the conversation",
    "add_item": "takes the next item of the conversation",
    "add_login": "saves a new login, and returns its account's name",
    "add_reasoning": "takes the next reasoning of the assistant",
    "add_text": "takes the next text of the assistant",
    "ask": "queues work for the storage thread, and waits for its result",
    "body": "the body of an HTTP message, in bytes",
    "close": "there is no more input: returns what was held back, and frees what was in use",
    "code": "an error's code, for programs",
    "dropped": "the paths of what the other side does not get",
    "feed": "takes the next piece of a stream, and returns what it completes",
    "find_response": "a stored response by its id, if there is one",
    "flow": "a flow of mitmproxy's",
    "flush": "the stream has ended: returns what it leaves",
    "headers": "headers of an HTTP message, by name",
    "inner_secret": "proves to the dashboard's server that the relay forwards a request",
    "is_ready": "whether the next attempt at the upstream can leave",
    "items": "items of the Responses API, in their order",
    "load_chain": "a stored response and all before it, oldest first",
    "load_rows": "rows of the usage totals",
    "log_out": "forgets an account's login",
    "mark_dropped": "reports that the client does not get a part of the reply",
    "megabytes": "how much may be kept, in millions of bytes",
    "model": "a model, as its provider calls it",
    "on_client_bytes": "hears of each piece of a reply that the client gets",
    "on_upstream_bytes": "hears of each piece of a reply that the upstream sends",
    "on_upstream_head": "hears of the head of a reply, to any attempt",
    "part_type": "the type of the part that is open",
    "path": "the path of a file",
    "provider": "a provider's profile",
    "reason": "why an account does not serve, as a code",
    "record": "the record of an exchange",
    "remove_response": "removes a stored response; returns whether there was such a response",
    "response": "a response of the Responses API",
    "rest": "text that is read but not yet passed on",
    "retry_delay": "seconds until the next attempt at the same upstream, None for no attempt",
    "save_response": "stores a response that has ended",
    "select_account": "makes an account the one that serves",
    "source": "where an account's login is kept: `login` or `codex`",
    "to_json": "the object's fields, as they are written to a file or a client",
    "to_reply": "the whole reply, from the events so far",
    "unique_call_id": "an id that no other call of the conversation has",
    "until": "Unix seconds at which a limit ends by itself",
}


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return read_sources(ROOT)


@pytest.mark.parametrize("trees", [TREES, *((tree,) for tree in TREES)], ids="+".join)
def test_most_function_names_have_several_words(
    trees: tuple[str, ...], sources: list[Source]
) -> None:
    count = count_words(source for source in sources if source.tree in trees)
    assert count.functions
    assert count.share <= MOST_ONE_WORD, f"one-word function names: {count}"


def test_no_forbidden_name_is_bound(sources: list[Source]) -> None:
    lines = [str(binding) for binding in forbidden_bindings(sources)]
    assert not lines, "\n".join([f"{len(lines)} bindings", *lines])


def test_each_class_has_a_name_of_its_own(sources: list[Source]) -> None:
    lines = [f"{name}: {', '.join(places)}" for name, places in duplicate_classes(sources).items()]
    assert not lines, "\n".join([f"{len(lines)} names of several classes", *lines])


@pytest.fixture(scope="module")
def shared_names(sources: list[Source]) -> dict[str, SharedName]:
    return shared_members(sources)


def test_no_name_is_a_method_here_and_data_there(shared_names: dict[str, SharedName]) -> None:
    lines = [str(shared) for shared in shared_names.values() if shared.is_mixed]
    assert not lines, "\n".join([f"{len(lines)} names are both", *lines])


def test_shared_names_have_one_annotation_or_a_contract(
    shared_names: dict[str, SharedName],
) -> None:
    lines = [
        str(shared)
        for name, shared in shared_names.items()
        if not shared.is_same_data and name not in SHARED_CONTRACTS
    ]
    assert not lines, "\n".join([f"{len(lines)} names are not in SHARED_CONTRACTS", *lines])


def test_every_contract_is_needed(shared_names: dict[str, SharedName]) -> None:
    needed = {name for name, shared in shared_names.items() if not shared.is_same_data}
    assert not SHARED_CONTRACTS.keys() - needed
    assert list(SHARED_CONTRACTS) == sorted(SHARED_CONTRACTS)
    assert len(SHARED_CONTRACTS) < 60  # else the names say too little


# Every count is tested on a small planted tree.


def planted_sources(root: Path, files: dict[str, str]) -> list[Source]:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return read_sources(root)


def test_words_are_counted_by_definition(tmp_path: Path) -> None:
    addon = """
class Relay:
    def __init__(self): ...
    def request(self, flow): ...   # a hook
    def _close(self): ...
    async def first_token_at(self):
        def feed(): ...
def parse_retry_after(): ...
def parse_retry_after(): ...
def request(): ...                 # no method, so no hook
"""
    machine = "class Machine:\n    def response(self): ...   # translate has no hooks\n"
    files = {"addons/relay.py": addon, "translate/machine.py": machine}
    addons, translate = planted_sources(tmp_path, files)
    assert (count_words([addons]).one_word, count_words([addons]).functions) == (3, 6)
    assert count_words([translate]).share == 1.0
    assert count_words([addons, translate]).share == 4 / 7


def test_hooks_are_those_of_mitmproxy() -> None:
    assert {"load", "configure", "running", "done", "requestheaders", "update"} <= hook_names()
    assert {"next_layer", "client_connected", "tls_start_client", "add_log"} <= hook_names()
    assert not {"feed", "close", "flush"} & hook_names()


@pytest.mark.parametrize(
    "text",
    [
        "def told(): ...",
        "async def _told(): ...",
        "class Told: ...",
        "TOLD = 1",
        "def reply(told): ...",
        "def reply(*told): ...",
        "def reply(*, told=1): ...",
        "reply = lambda told: 1",
        "def reply():\n    told = 1",
        "a, (b, *told) = c",
        "told: int",
        "told += 1",
        "type told = int",
        "def reply[told](): ...",
        "class Reply:\n    told: int",
        "class Reply:\n    def __init__(self):\n        self.told = 1",
        "import told",
        "import told.reply",
        "import reply as told",
        "from reply import told",
        "from reply import text as told",
        "for told in (): ...",
        "[told for told in ()]",
        "{told: 1 for told in ()}",
        "if told := 1: ...",
        "with open() as told: ...",
        "try: ...\nexcept OSError as told: ...",
        "match reply:\n    case told: ...",
        "match reply:\n    case [*told]: ...",
        "match reply:\n    case {**told}: ...",
        "match reply:\n    case int() as told: ...",
    ],
)
def test_forbidden_binding_is_named(text: str, tmp_path: Path) -> None:
    sources = planted_sources(tmp_path, {"scripts/cli/reply.py": text})
    (binding,) = forbidden_bindings(sources)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "told" in row.lower())
    assert binding.place == f"scripts/cli/reply.py:{line}"
    assert binding.word == "told"


@pytest.mark.parametrize("path", ["addons/told.py", "addons/told/__init__.py"])
def test_forbidden_module_is_named(path: str, tmp_path: Path) -> None:
    sources = planted_sources(tmp_path, {path: ""})
    assert [str(binding) for binding in forbidden_bindings(sources)] == [f"{path}:1: told"]


def test_keys_and_uses_are_no_bindings(tmp_path: Path) -> None:
    text = 'reply["told"] = {"one": more, **reply(told=plain.told)}\nretold = everyone = 1'
    assert not forbidden_bindings(planted_sources(tmp_path, {"addons/reply.py": text}))


def test_duplicate_class_is_named(tmp_path: Path) -> None:
    nested = "class Entry: ...\nclass Outer:\n    class _Row: ...\n"
    files = {
        "addons/page.py": nested,
        "translate/reply.py": f"{nested}class Reply: ...\n".replace("Outer", "Owner"),
        "scripts/reply.py": "class Reply: ...",
    }
    assert duplicate_classes(planted_sources(tmp_path, files)) == {
        "Entry": ["addons/page.py:1", "translate/reply.py:1"]
    }


def test_shared_member_is_named_with_its_classes(tmp_path: Path) -> None:
    reader = """
class Reader:
    url: str
    limit = 5
    def __init__(self): self.total = 0; self._private = 0
    @property
    def title(self): ...
    def feed(self):
        local = 1
    def request(self, flow): ...
    error = request
"""
    writer = """
class Writer:
    def __init__(self):
        self.url, self.title, self._private = "", "", 0
        other.total = 1
    def limit(self): ...
    async def feed(self):
        self.local = 1
    def request(self, flow): ...
    table = [total for total in range(5)]
    error = request
"""
    sources = planted_sources(tmp_path, {"addons/reader.py": reader, "addons/writer.py": writer})
    both = ["addons.reader.Reader", "addons.writer.Writer"]
    shared = shared_members(sources)
    assert {name: list(item.owners) for name, item in shared.items()} == dict.fromkeys(
        ["feed", "limit", "title", "url"], both
    )
    assert [name for name, item in shared.items() if item.is_mixed] == ["limit"]
    assert str(shared["limit"]) == "limit: addons.reader.Reader: ?, addons.writer.Writer()"
    assert str(shared["url"]) == "url: addons.reader.Reader: str, addons.writer.Writer: str"


def test_inherited_member_is_bound_once(tmp_path: Path) -> None:
    files = {
        "addons/views/__init__.py": "from addons.views.base import View as View",
        "addons/views/base.py": "class View[T]:\n    title: str\n    def show(self): ...",
        "addons/views/turn.py": (
            "from addons import views\nfrom addons.views import View\n"
            "class TurnView(View[int]):\n    title = 'turn'\n"
            "class LongView(TurnView):\n    def show(self): ...\n"
            "class WideView(views.base.View):\n    def show(self): ...\n"
        ),
        "addons/page.py": (
            "import tornado.web\nfrom pydantic import BaseModel as Model\n"
            "class Page(tornado.web.RequestHandler):\n    def get(self): ...\n"
            "class Login(tornado.web.RequestHandler):\n    def get(self): ...\n"
            "class Settings(Model):\n    model_config = {}\n"
            "class Target(Model):\n    model_config = {}\n"
            "class Refused(Exception):\n    args = ()\n"
            "class Unavailable(ValueError):\n    args = ()\n"
        ),
    }
    assert not shared_members(planted_sources(tmp_path, files))


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("size: int", "size: int", True),
        ("size: int", "size: float", False),
        ("size: int", "size = 1", False),
        ("size: int", "def __init__(self): self.size = 1", True),
        ("size: int", "def __init__(self): self.size: int = len('')", True),
        ("size: int", "def __init__(self, size: int): self.size, self._a = size, 1", True),
        ("size: int", "def __init__(self): self.size = len('')", False),
        ("size: int", "@property\n    def size(self) -> int: ...", True),
        ("size: Size", "def __init__(self): self.size = Size()", True),
        ("def size(self) -> int: ...", "def size(self) -> int: ...", False),
        ("size: Callable[[], int]", "def size(self) -> int: ...", False),
    ],
)
def test_same_annotation_is_recognized(
    first: str, second: str, is_same: bool, tmp_path: Path
) -> None:
    text = f"class Reader:\n    {first}\nclass Writer:\n    {second}\n"
    shared = shared_members(planted_sources(tmp_path, {"addons/reader.py": text}))["size"]
    assert shared.is_same_data is is_same and not shared.is_mixed


def test_implemented_protocol_introduces_its_names(tmp_path: Path) -> None:
    text = """
from collections.abc import Callable
from typing import Protocol
class Reader(Protocol):
    def feed(self, data): ...
    @property
    def size(self): ...
class Closable(Protocol):
    def close(self): ...           # alone it is too little to be recognized by
class LongReader(Reader, Protocol):
    def read(self): ...
class File:
    feed: Callable[[bytes], None]
    def __init__(self): self.size = 0
    def read(self): ...
    def close(self): ...
class Socket:
    def feed(self): ...            # other parameters
    def size(self): ...            # a method, no data
"""
    shared = shared_members(planted_sources(tmp_path, {"addons/reader.py": text}))
    assert {name: list(item.owners) for name, item in shared.items()} == {
        "close": ["addons.reader.Closable", "addons.reader.File"],
        "feed": ["addons.reader.Reader", "addons.reader.Socket"],
        "size": ["addons.reader.Reader", "addons.reader.Socket"],
    }
    assert shared["size"].is_mixed


def test_fields_of_pydantic_models_are_left_out(tmp_path: Path) -> None:
    text = """
from pydantic import BaseModel, Field
class Table(BaseModel):
    extra: str
class Provider(Table):
    model: str = Field("")
    @property
    def title(self) -> str: ...
    def for_model(self): ...
class Settings:
    extra: int
    model: int
    title: str
    def for_model(self): ...
"""
    shared = shared_members(planted_sources(tmp_path, {"addons/tables.py": text}))
    assert list(shared) == ["for_model", "title"]
