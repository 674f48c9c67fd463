"""The table of mitmproxy's private names fits the installed mitmproxy, is complete, and each
difference is reported by name."""

import ast
import asyncio
import dataclasses
import functools
import importlib
import inspect
import logging
import re
import sys
import time
import tomllib
import traceback
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import h2.connection
import h2.errors
import h2.settings
import h2.stream
import h11._receivebuffer
import hpack
import pytest
from mitmproxy import connection, flow, hooks, http, version
from mitmproxy.master import Master
from mitmproxy.proxy import commands
from mitmproxy.proxy import layer as layer_module
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http import _events as wire

from addons.flow_data import HiddenValues
from addons.secret_mask import SecretMask
from addons.transport.addon import Transport
from addons.transport.client_limits import BodyLimit, ClientLimits
from addons.transport.content_decoding import BoundedDecoder
from addons.transport.contract import (
    OPTIONAL_API,
    PRIVATE_API,
    TESTED_VERSIONS,
    ApiTable,
    ClassUse,
    class_attributes,
    first_difference,
    mitmproxy_class,
)
from addons.transport.plan import RelayPlan
from addons.transport.relay_stream import REPLACEMENTS, RelayStream
from tests.addons.proxy import bounded, proxy
from translate import Exchange, StreamRefusal, WholeReply

ROOT = Path(__file__).parents[3]
ALL_API = {**PRIVATE_API, **OPTIONAL_API}
USE_FIELDS = [each.name for each in dataclasses.fields(ClassUse)]
HTTP_MODULE = "mitmproxy.proxy.layers.http"


def test_the_installed_mitmproxy_fits() -> None:
    assert first_difference() is None and first_difference(OPTIONAL_API) is None


@bounded
async def test_mitmproxy_fits_while_our_classes_replace_its_own() -> None:
    async with proxy(Transport()):
        assert layers.HttpStream is RelayStream
        assert first_difference() is None and first_difference(OPTIONAL_API) is None
    assert layers.HttpStream is not RelayStream


# Every row of the table is checked: a wrong name in it is reported as a difference.


def table_rows() -> Iterator[tuple[str, ...]]:
    """Everything that the table names: module, class, field of the use, method, name."""
    for path, uses in ALL_API.items():
        yield (path,)
        for name, use in uses.items():
            yield path, name
            for use_field in USE_FIELDS:
                match getattr(use, use_field):
                    case str(names):
                        yield from ((path, name, use_field, "", each) for each in names.split())
                    case None:
                        pass
                    case methods:
                        for method, names in methods.items():
                            row = path, name, use_field, method
                            yield row
                            yield from ((*row, each) for each in names.split())


def table_without(row: tuple[str, ...]) -> ApiTable:
    """The table with a name in this row that mitmproxy does not have."""
    path, *rest = row
    uses = ALL_API[path]
    match rest:
        case []:
            return {f"{path}_gone": uses}
        case [name]:
            return {path: {f"{name}_gone": uses[name]}}
        case [name, use_field, method]:
            names = getattr(uses[name], use_field)[method] or "x"
            return {path: {name: ClassUse(**{use_field: {f"{method}_gone": names}})}}
        case [name, use_field, method, reference]:
            value = getattr(uses[name], use_field)
            names = value[method] if method else value
            names = re.sub(rf"\b{reference}\b", f"{reference}_gone", names)
            changed_value: Any = {method: names} if method else names
            return {path: {name: ClassUse(**{use_field: changed_value})}}
    raise AssertionError(row)


@pytest.mark.parametrize("row", list(table_rows()), ids=".".join)
def test_every_row_is_checked(row: tuple[str, ...]) -> None:
    difference = first_difference(table_without(row))
    assert difference and difference.startswith(f"mitmproxy {version.VERSION}: ")
    assert f"{row[-1] or row[-2]}_gone" in difference
    assert len(row) == 1 or row[1] in difference


# Each kind of difference, made in mitmproxy


def new_function(signature: str, body: str = "yield") -> Any:
    """A function with this signature, as another version of mitmproxy may have it."""
    names: dict[str, Any] = {}
    exec(f"def function({signature}): {body}", names)  # noqa: S102
    return names["function"]


def class_without(cls: type, name: str) -> Any:
    """The class, but it neither declares that attribute nor assigns it."""
    members = {
        k: v for k, v in vars(cls).items() if k not in ("__init__", "__dict__", "__weakref__")
    }
    members["__annotations__"] = {k: v for k, v in cls.__annotations__.items() if k != name}
    return type(cls.__name__, cls.__bases__, members)


DIFFERENCES: list[tuple[Any, str, Any, str]] = [
    (layers, "SendHttp", None, f"{HTTP_MODULE} has no SendHttp"),
    (layers.HttpStream, "check_killed", None, "HttpStream has no method 'check_killed'"),
    (
        layers.HttpStream,
        "send_response",
        new_function("self, streamed=False"),
        "HttpStream.send_response has no parameter 'already_streamed'",
    ),
    (
        layers.HttpStream,
        "send_response",
        new_function("self, already_streamed=False, trailers=None"),
        "HttpStream.send_response has one more parameter, 'trailers'",
    ),
    (
        layers.HttpStream,
        "check_killed",
        new_function("self, emit_error_hook, why"),
        "HttpStream.check_killed has one more parameter, 'why'",
    ),
    (
        layers.HttpStream,
        "check_killed",
        new_function("self, emit_error_hook", "return False"),
        "HttpStream.check_killed does not yield commands any more",
    ),
    (
        layers.HttpLayer,
        "make_stream",
        new_function("self, stream_id", "yield stream_of(self, stream_id)"),
        "HttpLayer.make_stream does not look up HttpStream",
    ),
    (
        layers.HttpLayer,
        "make_stream",
        None,
        "HttpLayer.make_stream does not look up HttpStream",
    ),
    (
        layers,
        "HttpLayer",
        class_without(layers.HttpLayer, "connections"),
        "HttpLayer has no attribute 'connections'",
    ),
    (
        layer_module,
        "Paused",
        layer_module.NamedTuple("Paused", [("waits_for", commands.Command)]),
        "Paused has no attribute 'command'",
    ),
    (
        wire.RequestData,
        "__init__",
        new_function("self, data, stream_id", "pass"),
        "RequestData has its parameters in another order: data, stream_id",
    ),
    (
        wire.ResponseProtocolError,
        "__init__",
        new_function("self, stream_id, message, code, connection", "pass"),
        "ResponseProtocolError has one more parameter, 'connection'",
    ),
    (
        wire,
        "ErrorCode",
        wire.enum.Enum("ErrorCode", "CLIENT_DISCONNECTED CONNECT_FAILED DESTINATION_UNKNOWN"),
        "ErrorCode has no attribute 'CANCEL'",
    ),
]


def change_mitmproxy(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, value: Any) -> None:
    if value is None:
        monkeypatch.delattr(owner, name)
    else:
        monkeypatch.setattr(owner, name, value)


@pytest.mark.parametrize(
    ("owner", "name", "value", "text"), DIFFERENCES, ids=[row[3] for row in DIFFERENCES]
)
def test_a_difference_is_named(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, value: Any, text: str
) -> None:
    monkeypatch.setattr(version, "VERSION", "12.9.0")
    change_mitmproxy(monkeypatch, owner, name, value)
    assert first_difference() == f"mitmproxy 12.9.0: {text}"


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"{HTTP_MODULE}._hooks", None)
    difference = first_difference()
    assert difference and difference.endswith(f"there is no module {HTTP_MODULE}._hooks")


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (layers.HttpStream, "check_killed", new_function("self, emit_error_hook, why=None")),
        (
            layers.SendHttp,
            "__init__",
            new_function("self, event, connection, *, flush=True", "pass"),
        ),
        (layers.HttpStream, "new_method", new_function("self")),
    ],
)
def test_mere_additions_fit(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, value: Any
) -> None:
    monkeypatch.setattr(owner, name, value, raising=False)
    assert first_difference() is None


# The table is complete


DOCUMENTED_NAMES = ("Loader",)  # in modules that are otherwise private


# https://docs.mitmproxy.org/stable/api/mitmproxy/proxy/mode_specs.html; `server_hooks` has the
# arguments of documented hooks.
DOCUMENTED_MODULES = ("mitmproxy.proxy.mode_specs", "mitmproxy.proxy.server_hooks")


def is_private(module: str) -> bool:
    if module.startswith(DOCUMENTED_MODULES):
        return False
    return module.startswith(("mitmproxy.proxy", "mitmproxy.addonmanager"))


def private_imports(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Module, name in it and local name of each private import; the name is "" for a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if is_private(alias.name):
                    yield alias.name, "", alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                path, local_name = f"{node.module}.{alias.name}", alias.asname or alias.name
                if is_module(path):
                    if is_private(path):
                        yield path, "", local_name
                elif is_private(node.module) and alias.name not in DOCUMENTED_NAMES:
                    yield node.module, alias.name, local_name


@functools.cache
def is_module(path: str) -> bool:
    try:
        return path.startswith("mitmproxy.") and bool(importlib.import_module(path))
    except ImportError:
        return False


TREES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "addons").rglob("*.py"))}
PRIVATE_USERS = {path: tree for path, tree in TREES.items() if any(private_imports(tree))}


def test_only_modules_of_transport_use_private_names() -> None:
    assert {path.parent for path in PRIVATE_USERS} == {ROOT / "addons" / "transport"}
    names = {path.stem for path in PRIVATE_USERS}
    assert names == {
        "attempts",
        "client_connections",
        "client_handlers",
        "connection_cleanup",
        "connections",
        "failure_guard",
        "heartbeat",
        "hook_dispatch",
        "relay_stream",
        "reply_body",
        "shutdown",
        "stream_hooks",
        "stream_start",
        "upstream_mask",
        "write_barrier",
    }


def private_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of each private import, and of each attribute that is read from a private
    module."""
    modules = {}
    for module, name, local_name in private_imports(tree):
        if name:
            yield module, name
        else:
            modules[local_name] = module
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=local_name), attr=name) if local_name in modules:
                yield modules[local_name], name


@pytest.mark.parametrize("path", list(PRIVATE_USERS), ids=lambda path: path.stem)
def test_every_imported_name_is_in_the_table(path: Path) -> None:
    names = set(private_names(PRIVATE_USERS[path]))
    assert names
    assert names <= {(module, name) for module, uses in ALL_API.items() for name in uses}


def transport_names() -> Iterator[str]:
    """The names that the modules of transport define, in classes and outside of them."""
    for node in (node for tree in PRIVATE_USERS.values() for node in ast.walk(tree)):
        match node:
            case ast.FunctionDef(name=name):
                yield name
            case ast.Attribute(value=ast.Name("self"), attr=name, ctx=ast.Store()):
                yield name
            case ast.ClassDef(body=body):
                for each in body:
                    match each:
                        case ast.AnnAssign(target=ast.Name(id=name)):
                            yield name
                        case ast.Assign(targets=targets):
                            yield from (t.id for t in targets if isinstance(t, ast.Name))


def table_names() -> Iterator[str]:
    for uses in ALL_API.values():
        for name, use in uses.items():
            yield name
            yield from use.attributes.split()
            yield from (use.constructor or "").split()
            yield from [*use.called, *use.overridden]


DOCUMENTED: list[Any] = [
    *(http.HTTPFlow, http.Request, http.Response, http.Headers, flow.Error),
    *(connection.Server, connection.Client, http, hooks, hooks.Hook, Master),
]
OPTIONS = {"validate_inbound_headers"}  # mitmproxy's own
CONTEXT = {"master"}  # of `mitmproxy.ctx`, which only declares it
OURS_AND_PYTHONS: list[Any] = [
    *(RelayPlan, HiddenValues, Exchange, StreamRefusal, WholeReply, BodyLimit, ClientLimits),
    *(BoundedDecoder, SecretMask, asyncio.StreamWriter, asyncio.Transport, asyncio.Task, Generator),
    *(str, bytes, list, dict, set, tuple, deque, re, re.Pattern, time, logging, traceback),
    BaseException,
]
LIBRARIES: list[Any] = [  # those that mitmproxy's layers are built on; they are documented
    *(h2.connection.H2Connection, h2.settings.Settings, h2.stream.H2Stream, h2.stream.StreamState),
    *(h2.errors.ErrorCodes, hpack.Decoder, h11._receivebuffer.ReceiveBuffer),
]


def used_attributes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name):
                yield name
            case ast.MatchClass(kwd_attrs=names):
                yield from names


def test_every_attribute_in_the_table_is_used() -> None:
    names = {name for tree in PRIVATE_USERS.values() for name in used_attributes(tree)}
    uses = [use for module_uses in ALL_API.values() for use in module_uses.values()]
    assert {name for use in uses for name in (*use.attributes.split(), *use.called)} <= names


@pytest.mark.parametrize("path", list(PRIVATE_USERS), ids=lambda path: path.stem)
def test_every_used_attribute_is_in_the_table_or_documented(path: Path) -> None:
    allowed = {*transport_names(), *table_names(), *OPTIONS, *CONTEXT}
    for owner in (*DOCUMENTED, *OURS_AND_PYTHONS, *LIBRARIES):
        allowed |= class_attributes(owner) if inspect.isclass(owner) else set(dir(owner))
    names = set(used_attributes(PRIVATE_USERS[path]))
    assert names
    assert not names - allowed


@pytest.mark.parametrize("name", list(REPLACEMENTS))
def test_every_overridden_method_is_in_the_table(name: str) -> None:
    ours: type = REPLACEMENTS[name]
    original = mitmproxy_class(ours)
    (use,) = (uses[name] for uses in ALL_API.values() if name in uses and uses[name].overridden)
    overridden = {
        member
        for cls in ours.__mro__[: ours.__mro__.index(original)]
        for member, value in vars(cls).items()
        if inspect.isfunction(value) and hasattr(original, member) and member != "__init__"
    }
    assert overridden == set(use.overridden)


# The versions


def test_the_suite_runs_on_the_oldest_mitmproxy_and_on_a_newer_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = (each for each in project["dependencies"] if each.startswith("mitmproxy"))
    locks = [ROOT / "scripts" / f"{name}.lock" for name in ("oldest", "requirements")]
    locked = [re.findall(r"^mitmproxy==(\S+)", lock.read_text(), re.MULTILINE) for lock in locks]
    assert locked == [[tested] for tested in TESTED_VERSIONS]
    oldest, newest = TESTED_VERSIONS
    assert requirement.startswith(f"mitmproxy>={oldest.removesuffix('.0')},<")
    assert oldest != newest
