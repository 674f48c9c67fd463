"""What the relay stores: responses, remembered reasoning and usage totals."""

from addons.storage.reasoning_memory import (
    RESTORED_COUNT,
    count_restored,
    remember_reasoning,
    restore_reasoning,
)
from addons.storage.response_store import (
    ResponseSaver,
    ResponseStore,
    ResponseWriter,
    load_history,
    resolve_references,
    response_saver,
    response_writer,
)
from addons.storage.usage_backends import (
    COUNT_FIELDS,
    MAX_DAYS,
    Counts,
    MemoryUsage,
    UsageBackend,
    UsageKey,
    UsageRow,
    open_usage_backend,
    read_usage_rows,
)
from addons.storage.worker import BackendQueue, StorageSuspended, StorageUnavailable

__all__ = [
    "BackendQueue",
    "COUNT_FIELDS",
    "Counts",
    "MAX_DAYS",
    "MemoryUsage",
    "RESTORED_COUNT",
    "ResponseSaver",
    "ResponseStore",
    "ResponseWriter",
    "StorageSuspended",
    "StorageUnavailable",
    "UsageBackend",
    "UsageKey",
    "UsageRow",
    "count_restored",
    "load_history",
    "open_usage_backend",
    "read_usage_rows",
    "remember_reasoning",
    "resolve_references",
    "response_saver",
    "response_writer",
    "restore_reasoning",
]
