"""The exchanges in a capture of mitmproxy's, as `mitmdump -w capture.mitm` writes it."""

from pathlib import Path

from mitmproxy.exceptions import CommandError, FlowReadException
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from addons.observe import CLIENT_SIDE, PAIR_SIDE, PARTNER_ID, saved_record
from addons.private_files import write_private_bytes
from addons.replay import RecordedExchange, case_files
from translate import printable

from ..errors import CommandFailed
from ..tables import Column

COLUMNS = (
    *(Column("flow", is_number=True), Column("asked for"), Column("provider"), Column("model")),
    Column("status"),
)


def read_exchanges(path: Path) -> list[RecordedExchange]:
    """The exchanges with both their flows, in the order of the file. Raises CommandFailed."""
    try:
        with path.open("rb") as file:
            flows = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", "check the path") from None
    except (FlowReadException, MemoryError) as error:
        raise CommandFailed(
            f"{path} is no complete capture: {error or 'it names too long a part'}",
            "record one with `mitmcodex up -- -w capture.mitm`",
        ) from None
    by_id = {flow.id: flow for flow in flows}
    clients = [flow for flow in flows if flow.metadata.get(PAIR_SIDE) == CLIENT_SIDE]
    pairs = ((client, by_id.get(str(client.metadata.get(PARTNER_ID)))) for client in clients)
    return [RecordedExchange(client, upstream) for client, upstream in pairs if upstream]


def chosen_exchange(path: Path, number: int | None) -> RecordedExchange:
    """The exchange with this number, counted from 1; without a number, the only one. Raises
    CommandFailed."""
    exchanges = read_exchanges(path)
    if not exchanges:
        raise CommandFailed(
            f"{path} has no exchange of the relay's with both its flows",
            "record one with `mitmcodex up -- -w capture.mitm`",
        )
    if number is None and len(exchanges) > 1:
        raise CommandFailed(
            f"{path} has {len(exchanges)} exchanges",
            "choose one with --flow; `mitmcodex case list` shows them",
        )
    if not 1 <= (number or 1) <= len(exchanges):
        raise CommandFailed(f"{path} has no exchange {number}", f"the last is {len(exchanges)}")
    return exchanges[(number or 1) - 1]


def exchange_cells(number: int, exchange: RecordedExchange) -> list[str]:
    record = saved_record(exchange.client_flow)
    names = ("asked", "provider", "model", "status")
    texts = [printable(str(record[name]), 100) if record else "" for name in names]
    return [str(number), *texts]


def write_case(exchange: RecordedExchange, folder: Path) -> list[Path]:
    """Write the case's files into a new folder. Raises CommandFailed."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandFailed(f"{folder} is not an empty folder", "name a new folder")
    try:
        files = case_files(exchange)
    except CommandError as error:
        raise CommandFailed(str(error), "choose another exchange with --flow") from None
    except Exception as error:  # a capture may be anything
        raise CommandFailed(
            f"this exchange cannot be read: {error!r}", "choose another exchange with --flow"
        ) from None
    try:
        for name, content in files.items():
            write_private_bytes(folder / name, content)
    except OSError as error:
        raise CommandFailed(f"{folder}: {error.strerror}", "name another folder") from None
    return [folder / name for name in files]
