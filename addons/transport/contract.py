"""The table of mitmproxy's private API that `transport` uses, and how the installed mitmproxy
differs from it.

The table has names and signatures only. Other changes, such as another order of events, are found
by the tests of `transport`.
"""

import dis
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import version

# The suite runs on these, which are the ones of scripts/oldest.lock and scripts/requirements.lock.
TESTED_VERSIONS = ("12.2.0", "12.2.3")


@dataclass(frozen=True)
class ClassUse:
    """What `transport` uses of one class. Names are separated by spaces, parameters in order."""

    constructor: str | None = None  # its first parameters; any further ones are optional
    attributes: str = ""  # of the class and of its instances, read or assigned
    called: Mapping[str, str] = field(default_factory=dict)  # method → its first parameters
    overridden: Mapping[str, str] = field(default_factory=dict)  # method → all its parameters
    # mitmproxy's method → names that its code must look up, so that it reaches ours.
    looked_up: Mapping[str, str] = field(default_factory=dict)


type ApiTable = Mapping[str, Mapping[str, ClassUse]]

PRIVATE_API: ApiTable = {  # module → name in it → its use
    "h11._readers": {
        "ChunkedReader": ClassUse(),
    },
    "h11._receivebuffer": {
        "ReceiveBuffer": ClassUse(attributes="maybe_extract_at_most"),
    },
    "mitmproxy.addons.proxyserver": {
        "Proxyserver": ClassUse(attributes="connections"),
    },
    "mitmproxy.proxy.server": {
        "ConnectionHandler": ClassUse(attributes="client server_event transports wakeup_timer"),
        "ConnectionIO": ClassUse(attributes="handler writer"),
    },
    "mitmproxy.hooks": {
        "all_hooks": ClassUse(),
    },
    "mitmproxy.proxy.commands": {
        "Command": ClassUse(),
        "CloseConnection": ClassUse(constructor="connection"),
        "Log": ClassUse(constructor="message"),
        "RequestWakeup": ClassUse(constructor="delay"),
        "SendData": ClassUse(constructor="connection data"),
        "StartHook": ClassUse(),
    },
    "mitmproxy.proxy.events": {
        "ConnectionClosed": ClassUse(),
        "ConnectionEvent": ClassUse(),
        "DataReceived": ClassUse(attributes="data"),
        "Event": ClassUse(),
        "Wakeup": ClassUse(attributes="command"),
    },
    "mitmproxy.proxy.context": {
        "Context": ClassUse(attributes="client server layers options"),
    },
    "mitmproxy.proxy.layer": {
        "CommandGenerator": ClassUse(),
        "Paused": ClassUse(attributes="command"),
        "Layer": ClassUse(looked_up={"handle_event": "_handle_event _paused"}),
    },
    "mitmproxy.proxy.utils": {
        "ReceiveBuffer": ClassUse(attributes="clear"),
    },
    "mitmproxy.proxy.layers.http": {
        "GetHttpConnection": ClassUse(constructor="address tls via transport_protocol"),
        "GetHttpConnectionCompleted": ClassUse(constructor="command reply", attributes="command"),
        "DropStream": ClassUse(constructor="stream_id"),
        "SendHttp": ClassUse(constructor="event connection", attributes="event connection"),
        "HttpClient": ClassUse(looked_up={"_handle_event": "Http1Client Http2Client"}),
        "HttpLayer": ClassUse(
            attributes="connections context waiting_for_establishment",
            looked_up={
                "_handle_event": "Http1Client Http1Server Http2Client Http2Server",
                "event_to_child": "RequestWakeup handle_event",
                "get_connection": "waiting_for_establishment",
                "make_stream": "HttpStream",
            },
        ),
        "HttpStream": ClassUse(
            attributes="_paused _paused_event_queue client_state context flow request_body_buf"
            " response_body_buf server_state state_done"
            " state_errored stream_id state_consume_response_body state_wait_for_response_headers",
            called={"check_killed": "emit_error_hook"},
            overridden={
                "_handle_event": "event",
                "handle_event": "event",
                "handle_protocol_error": "event",
                "make_server_connection": "",
                "send_response": "already_streamed",
                "start_response_stream": "",
                "state_consume_request_body": "event",
                "state_consume_response_body": "event",
                "state_done": "_",
                "state_stream_response_body": "event",
                "state_wait_for_request_headers": "event",
                "state_wait_for_response_headers": "event",
            },
            looked_up={
                "_handle_event": "client_state handle_protocol_error server_state"
                " state_wait_for_request_headers",
                "make_server_connection": "GetHttpConnection",
                "send_response": "state_done",
                "start_response_stream": "state_stream_response_body",
                "state_consume_request_body": "make_server_connection send_response state_done",
                "state_consume_response_body": "response_body_buf send_response",
                "state_stream_response_body": "send_response",
                "state_wait_for_request_headers": "replay_flow state_consume_request_body"
                " state_wait_for_response_headers",
                "state_wait_for_response_headers": "start_response_stream"
                " state_consume_response_body",
            },
        ),
    },
    "mitmproxy.proxy.layers.http._base": {
        "ReceiveHttp": ClassUse(constructor="event", attributes="event"),
    },
    "mitmproxy.proxy.layers.http._events": {
        "ErrorCode": ClassUse(
            attributes="CANCEL CLIENT_DISCONNECTED CONNECT_FAILED DESTINATION_UNKNOWN"
            " GENERIC_CLIENT_ERROR GENERIC_SERVER_ERROR KILL REQUEST_TOO_LARGE"
            " REQUEST_VALIDATION_FAILED RESPONSE_TOO_LARGE RESPONSE_VALIDATION_FAILED"
        ),
        "HttpEvent": ClassUse(),
        "RequestData": ClassUse(constructor="stream_id data", attributes="stream_id data"),
        "RequestEndOfMessage": ClassUse(constructor="stream_id"),
        "RequestHeaders": ClassUse(
            constructor="stream_id request end_stream",
            attributes="stream_id request end_stream replay_flow",
        ),
        "RequestProtocolError": ClassUse(
            constructor="stream_id message code", attributes="message code"
        ),
        "RequestTrailers": ClassUse(),
        "ResponseData": ClassUse(constructor="stream_id data", attributes="stream_id data"),
        "ResponseEndOfMessage": ClassUse(constructor="stream_id"),
        "ResponseHeaders": ClassUse(
            constructor="stream_id response end_stream", attributes="stream_id response end_stream"
        ),
        "ResponseProtocolError": ClassUse(
            constructor="stream_id message code", attributes="stream_id message code"
        ),
        "ResponseTrailers": ClassUse(attributes="trailers"),
    },
    "mitmproxy.proxy.layers.http._hooks": {
        "HttpErrorHook": ClassUse(constructor="flow", attributes="blocking"),
        "HttpRequestHook": ClassUse(),
    },
    "mitmproxy.proxy.layers.http._http1": {
        "Http1Connection": ClassUse(looked_up={"mark_done": "make_pipe"}),
        "Http1Server": ClassUse(
            attributes="ReceiveProtocolError buf conn done passthrough request_done response state"
            " stream_id",
            overridden={
                "_handle_event": "event",
                "handle_event": "event",
                "make_pipe": "",
                "mark_done": "request response",
                "read_body": "event",
                "read_headers": "event",
            },
            looked_up={
                "_handle_event": "state",
                "read_body": "body_reader mark_done",
                "read_headers": "read_body",
                "send": "mark_done",
            },
        ),
        "Http1Client": ClassUse(
            attributes="ReceiveProtocolError buf conn done response state stream_id",
            called={"mark_done": "request response"},
            overridden={
                "_handle_event": "event",
                "handle_event": "event",
                "read_body": "event",
                "read_headers": "event",
            },
            looked_up={
                "_handle_event": "state",
                "read_body": "body_reader mark_done",
                "read_headers": "buf read_body response",
                "send": "mark_done",
            },
        ),
    },
    "mitmproxy.proxy.layers.http._http2": {
        "Http2Server": ClassUse(
            attributes="ReceiveProtocolError conn h2_conn is_closed streams",
            constructor="context",
            overridden={"_handle_event": "event", "handle_event": "event"},
        ),
        "Http2Client": ClassUse(
            attributes="ReceiveProtocolError conn h2_conn our_stream_id stream_queue streams"
            " their_stream_id",
            constructor="context",
            overridden={"_handle_event": "event", "handle_event": "event"},
        ),
    },
}


OPTIONAL_API: ApiTable = {  # of `hook_dispatch`, which is left out where they differ
    "mitmproxy.addonmanager": {
        "AddonManager": ClassUse(
            attributes="chain lookup invoke_addon invoke_addon_sync trigger trigger_event",
            looked_up={
                "handle_lifecycle": "trigger_event",
                "invoke_addon": "_iter_hooks",
                "_iter_hooks": "traverse",
                "register": "lookup traverse",
                "trigger": "chain invoke_addon_sync",
                "trigger_event": "chain invoke_addon",
            },
        ),
        "traverse": ClassUse(),
    },
}


def first_difference(table: ApiTable = PRIVATE_API) -> str | None:
    """How the installed mitmproxy differs from the table, in words; None if it does not."""
    return next((f"mitmproxy {version.VERSION}: {text}" for text in api_differences(table)), None)


def api_differences(table: ApiTable) -> Iterator[str]:
    """Each difference between the table and the installed mitmproxy, in words."""
    for path, uses in table.items():
        try:
            module = importlib.import_module(path)
        except ImportError:
            yield f"there is no module {path}"
            continue
        for name, use in uses.items():
            if hasattr(module, name):
                yield from class_differences(name, mitmproxy_class(getattr(module, name)), use)
            else:
                yield f"{path} has no {name}"


def class_differences(name: str, cls: Any, use: ClassUse) -> Iterator[str]:
    if use.constructor is not None:
        yield from parameter_differences(name, cls.__init__, use.constructor.split())
    missing = set(use.attributes.split()) - class_attributes(cls) if use.attributes else ()
    for attribute in sorted(missing):
        yield f"{name} has no attribute {attribute!r}"
    for method, parameters in use.called.items():
        yield from method_differences(name, cls, method, parameters)
    for method, parameters in use.overridden.items():
        yield from method_differences(name, cls, method, parameters, exact=True)
    for method, references in use.looked_up.items():
        function = getattr(cls, method, None)
        code_names = inspect.unwrap(function).__code__.co_names if function else ()
        for reference in references.split():
            if reference not in code_names:
                yield f"{name}.{method} does not look up {reference}"


def method_differences(
    name: str, cls: Any, method: str, parameters: str, *, exact: bool = False
) -> Iterator[str]:
    function = getattr(cls, method, None)
    if not function:
        yield f"{name} has no method {method!r}"
    elif not inspect.isgeneratorfunction(inspect.unwrap(function)):
        yield f"{name}.{method} does not yield commands any more"
    else:
        yield from parameter_differences(
            f"{name}.{method}", function, parameters.split(), exact=exact
        )


def parameter_differences(
    path: str, function: Callable[..., Any], expected: Sequence[str], *, exact: bool = False
) -> Iterator[str]:
    """`exact`: a further parameter is a difference even if it is optional."""
    _, *parameters = inspect.signature(function).parameters.values()  # without `self`
    names = [parameter.name for parameter in parameters]
    if missing := [name for name in expected if name not in names]:
        yield f"{path} has no parameter {missing[0]!r}"
    elif names[: len(expected)] != list(expected):
        yield f"{path} has its parameters in another order: {', '.join(names)}"
    else:
        for parameter in parameters[len(expected) :]:
            if exact or parameter.default is parameter.empty:
                yield f"{path} has one more parameter, {parameter.name!r}"


def class_attributes(cls: Any) -> set[str]:
    """The attributes of the class, and those of its instances: declared in it, or assigned in an
    `__init__`, which its compiled code shows even without its source."""
    names = set(dir(cls))
    for base in inspect.getmro(cls):
        names |= getattr(base, "__annotations__", {}).keys()
        if inspect.isfunction(init := vars(base).get("__init__")):
            steps = dis.get_instructions(inspect.unwrap(init))
            names |= {step.argval for step in steps if step.opname == "STORE_ATTR"}
    return names


def mitmproxy_class(cls: Any) -> Any:
    """mitmproxy's own class, even while a class of ours replaces it."""
    bases = inspect.getmro(cls) if inspect.isclass(cls) else ()
    return next((base for base in bases if base.__module__.startswith("mitmproxy.")), cls)
