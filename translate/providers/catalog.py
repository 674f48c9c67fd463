"""Model lists: from an upstream's, in any form, to OpenAI's form and to Codex's (`ModelInfo`)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from translate.providers.profile import Provider
from translate.wire import codec

Json = dict[str, Any]


@dataclass(frozen=True)
class CatalogModel:
    """One model, as its upstream describes it; None where the upstream is silent."""

    id: str
    title: str = ""
    created: int = 0  # Unix seconds
    owned_by: str = ""
    context_window: int | None = None  # tokens that may be sent
    images: bool | None = None  # whether it accepts images
    has_tools: bool | None = None  # whether it calls functions
    chat: bool = True  # False: it makes embeddings, speech, pictures …
    hidden: bool = False  # clients may use it, but no list shows it
    codex: Json | None = field(default=None, repr=False)  # its entry in Codex's own form


# Where upstreams put each fact; the first path with a value of the right type counts.
LIST_FIELDS = ("data", "models", "result", "items")
ID_FIELDS = ("id", "slug", "model", "name")
TITLE_FIELDS = ("display_name", "displayName", "title", "name")
OWNER_FIELDS = ("owned_by", "organization", "publisher")
CONTEXT_FIELDS = (
    "top_provider.context_length",  # OpenRouter: the window of the best backend
    "loaded_context_length",  # LM Studio
    "meta.n_ctx",  # llama.cpp: the window that is loaded, which may be smaller than n_ctx_train
    "context_length",  # OpenRouter, Together, Moonshot
    "context_window",  # Groq, Codex's own form
    "max_model_len",  # vLLM
    "max_context_length",  # Mistral, LM Studio
    "meta.n_ctx_train",  # llama.cpp
)
# A limit on the input alone, below the window that input and output share. Codex assumes that it
# may send the whole window, and would compact too late (openai/codex#37319).
INPUT_LIMIT_FIELDS = (
    "max_input_tokens",
    "inputTokenLimit",  # Gemini
    "capabilities.limits.max_prompt_tokens",  # GitHub Copilot
)
INPUT_FIELDS = ("architecture.input_modalities", "input_modalities", "modalities.input")
OUTPUT_FIELDS = ("architecture.output_modalities", "output_modalities", "modalities.output")
VISION_FIELDS = ("capabilities.vision", "supports_image_in", "supports_vision")
TOOL_LISTS = ("supported_parameters",)  # OpenRouter
TOOL_FIELDS = ("capabilities.function_calling", "capabilities.supports.tool_calls")  # Mistral, …
CHAT_FIELDS = ("capabilities.completion_chat",)  # Mistral
TYPE_FIELDS = ("type", "task")  # Together, LM Studio

# Most lists do not say what a model is for, but these parts of its name do.
NON_CHAT_TYPES = re.compile(r"embed|rerank|image|audio|speech|transcri|moderation|video", re.I)
NON_CHAT_NAMES = re.compile(
    r"(?:^|[^a-z])(?:embed|embedding|embeddings|embedder|bge|e5|gte|minilm|rerank|reranker|colbert"
    r"|whisper|asr|tts|speech|audio|voxtral|transcribe|transcription|realtime|moderation"
    r"|dall-e|imagen|image|images|flux|stable-diffusion|sdxl|sora|veo|video|ocr"
    r"|babbage|davinci)(?:[^a-z]|$)|embed-|nomic-embed|text-embedding",
    re.I,
)

MODEL_PATTERN = re.compile(r"[*?\[]")  # a name with one of these characters is an fnmatch pattern


def parse_model_list(body: bytes) -> list[CatalogModel]:
    """The models of a list reply, each once, in Codex's order where the list has priorities.

    Raises ValueError for a body that is not a model list.
    """
    elements = find_model_list(codec.load_json(body))
    if elements is None:
        raise ValueError("not a model list")
    # sorted() is stable, so a list without priorities keeps its order.
    models = (parse_model(element) for element in sorted(elements, key=codex_priority))
    return list({model.id: model for model in models if model}.values())


def find_model_list(listing: Any) -> list[Any] | None:
    """The elements of a list reply, whatever its form; None if it is not a model list."""
    for _ in range(2):  # some wrap the list twice
        if isinstance(listing, dict):
            values = (listing[name] for name in LIST_FIELDS if name in listing)
            listing = next((value for value in values if isinstance(value, list | dict)), None)
    return listing if isinstance(listing, list) else None


def codex_priority(model: Any) -> int:
    """The key by which Codex sorts its models; the first one is its default."""
    return int((as_codex_entry(model) or {"priority": 0})["priority"])


# Codex requires these of each model, and ignores the whole list if one is missing (0.169).
CODEX_FIELDS = (
    ("slug", str), ("base_instructions", str), ("shell_type", str), ("visibility", str),
    ("supported_reasoning_levels", list), ("truncation_policy", dict), ("priority", int),
)  # fmt: skip


def as_codex_entry(model: Any) -> Json | None:
    """The model itself, if its upstream describes it in Codex's form."""
    has_fields = isinstance(model, dict) and all(
        isinstance(model.get(name), field_type) for name, field_type in CODEX_FIELDS
    )
    return model if has_fields else None


def parse_model(model: Any) -> CatalogModel | None:
    """The model that an element of a list reply, an object or a name, stands for.

    None for an element without a name.
    """
    model = {"id": model} if isinstance(model, str) else model
    name = first_value(model, ID_FIELDS, str)
    if not name:
        return None
    created = first_value(model, ("created",), int)
    codex = as_codex_entry(model)
    return CatalogModel(
        id=name,
        title=first_value(model, TITLE_FIELDS, str) or name,
        created=created if created and created > 0 else 0,
        owned_by=first_value(model, OWNER_FIELDS, str) or "",
        context_window=input_budget(model),
        images=accepts_images(model),
        has_tools=calls_tools(model),
        chat=codex is not None or is_chat_model(model, name),
        hidden=first_value(model, ("visibility",), str) == "hide",
        codex=codex,
    )


def input_budget(model: Json) -> int | None:
    """The tokens that may be sent: the smaller of the context window and the input limit."""
    limits = (
        next((count for count in values_at(model, paths, int) if count > 0), 0)
        for paths in (CONTEXT_FIELDS, INPUT_LIMIT_FIELDS)
    )
    return min(filter(None, limits), default=None)


def accepts_images(model: Json) -> bool | None:
    inputs = first_value(model, INPUT_FIELDS, list)
    return first_value(model, VISION_FIELDS, bool) if inputs is None else "image" in inputs


def calls_tools(model: Json) -> bool | None:
    parameters = first_value(model, TOOL_LISTS, list)
    return first_value(model, TOOL_FIELDS, bool) if parameters is None else "tools" in parameters


def is_chat_model(model: Json, name: str) -> bool:
    outputs = first_value(model, OUTPUT_FIELDS, list)
    if outputs is not None and "text" not in outputs:
        return False
    if first_value(model, CHAT_FIELDS, bool) is False:
        return False
    if NON_CHAT_TYPES.search(first_value(model, TYPE_FIELDS, str) or ""):
        return False
    return not NON_CHAT_NAMES.search(name)


def first_value[T](model: Any, paths: Iterable[str], value_type: type[T]) -> T | None:
    return next(values_at(model, paths, value_type), None)


def values_at[T](model: Any, paths: Iterable[str], value_type: type[T]) -> Iterator[T]:
    """The values of this type at these dotted paths; a bool is not an int here."""
    for path in paths:
        value = model
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, value_type) and (value_type is bool or not isinstance(value, bool)):
            yield value


def models_on_offer(
    upstream_models: Iterable[CatalogModel],
    provider: Provider,
    *,
    configured_model: str,
    renames: Iterable[tuple[str, str]],
) -> list[CatalogModel]:
    """The models that the relay offers: the configured one, the renamed ones, the upstream's.

    A configured name is offered even if the upstream does not list it; a renamed model has the
    properties of its target; patterns are not offered. The provider's table supplies facts that
    the upstream's list lacks. `renames` are pairs of a client's name and the upstream's.
    """
    by_id = {entry.id: fill_from_table(entry, provider) for entry in upstream_models}
    configured = (
        [(configured_model, configured_model), *renames] if configured_model else list(renames)
    )
    offered: dict[str, CatalogModel] = {}
    for name, target in configured:
        if not MODEL_PATTERN.search(name) and name not in offered:
            source = by_id.get(target) or fill_from_table(CatalogModel(target), provider)
            title = source.title if name == target else name
            renamed = replace(source, id=name, title=title or name)
            offered[name] = replace(renamed, chat=True, hidden=False)
    rest = {name: entry for name, entry in by_id.items() if name not in offered}
    return list((offered | rest).values())


def fill_from_table(model: CatalogModel, provider: Provider) -> CatalogModel:
    """The model with the facts that its upstream does not name, from the provider's table."""
    profile = provider.for_model(model.id)
    images = profile.images if model.images is None else model.images
    return replace(
        model, images=images, context_window=model.context_window or profile.context_window
    )


def models_to_openai(models: Iterable[CatalogModel]) -> Json:
    """https://platform.openai.com/docs/api-reference/models/list"""
    data = [
        {
            "id": model.id,
            "object": "model",
            "created": model.created,
            "owned_by": model.owned_by or "relay",
        }
        for model in models
        if not model.hidden
    ]
    return {"object": "list", "data": data}


# These override the template for every model: Codex's classic tools, which any chat model can use,
# and nothing that only OpenAI's own servers can do.
CLASSIC_FIELDS: Json = {
    "visibility": "list",
    "supported_in_api": True,
    "shell_type": "unified_exec",
    "apply_patch_tool_type": "freeform",
    "supports_search_tool": False,  # otherwise MCP tools are hidden behind a search
    "tool_mode": None,
    "use_responses_lite": False,
    "multi_agent_version": None,
    "model_messages": None,  # it would replace base_instructions
    # No effort until the user chooses one, because models without thinking refuse the field.
    "default_reasoning_level": None,
    "supported_reasoning_levels": [
        {"effort": "low", "description": "Fast, with little thinking"},
        {"effort": "medium", "description": "Thinking as it suits everyday work"},
        {"effort": "high", "description": "More thinking, for hard problems"},
    ],
    "default_reasoning_summary": "auto",
    "supports_reasoning_summaries": True,
    "supports_parallel_tool_calls": True,
    "support_verbosity": False,
    "default_verbosity": None,
    "supports_image_detail_original": False,
    "auto_compact_token_limit": None,  # Codex then takes its own share of the context window
    "upgrade": None,
    "availability_nux": None,
    "additional_speed_tiers": [],
    "service_tiers": [],
    "default_service_tier": None,
    "comp_hash": None,
}

# The remaining fields, for a relay that finds no template in an installed Codex.
DEFAULT_CATALOG_TEMPLATE: Json = {
    "truncation_policy": {"mode": "tokens", "limit": 10_000},
    "effective_context_window_percent": 95,
    "experimental_supported_tools": [],
    "web_search_tool_type": "text",
}


def find_catalog_template(body: bytes) -> Json | None:
    """The first model of Codex's bundled catalog with classic tools and full requests, or None.

    Raises ValueError for a body that is not JSON.
    """
    catalog = codec.load_json(body)
    models = catalog.get("models") if isinstance(catalog, dict) else None
    for model in models if isinstance(models, list) else []:
        match model:
            case {"base_instructions": str(text), "visibility": "list"} if text:
                if not model.get("tool_mode") and not model.get("use_responses_lite"):
                    # Models behind the relay need not be "based on GPT-5".
                    text = re.sub(r" based on GPT-[\w.]*\w", "", text)
                    return {**model, "base_instructions": text}
    return None


def models_to_codex(
    models: Iterable[CatalogModel], template: Mapping[str, Any], *, owner: str
) -> Json:
    """The catalog that Codex reads, with the models that chat.

    `template` is a model of Codex's own catalog, or DEFAULT_CATALOG_TEMPLATE with
    `base_instructions`. A model that its upstream describes in Codex's form keeps its entry, except
    for its name, and for a priority that would change the order.
    """
    entries, last_priority = [], -1
    for model in (model for model in models if model.chat and (model.codex or not model.hidden)):
        entry = model.codex or new_codex_entry(model, template, owner)
        last_priority = max(last_priority + 1, entry["priority"])
        overrides = {
            "slug": model.id,
            "display_name": model.title or model.id,
            "priority": last_priority,
        }
        if model.id != entry["slug"] and entry.get("upgrade"):
            overrides["upgrade"] = None  # it refers to another model by its upstream name
        entries.append(entry | overrides)
    return {"models": entries}


def new_codex_entry(model: CatalogModel, template: Mapping[str, Any], owner: str) -> Json:
    """An entry for a model that Codex does not know."""
    return {
        **template,
        **CLASSIC_FIELDS,
        "slug": model.id,
        "description": f"{model.id}, by {owner}",
        "priority": 0,
        "context_window": model.context_window,
        "max_context_window": model.context_window,
        "input_modalities": ["text", "image"] if model.images else ["text"],
    }
