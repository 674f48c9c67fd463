"""Model lists: an upstream's, in whatever form, to OpenAI's form and to Codex's (`ModelInfo`)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from translate.providers.profile import Provider
from translate.wire import codec

Json = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One model, as far as its upstream tells; None is for what it does not tell."""

    id: str
    title: str = ""
    created: int = 0
    owner: str = ""
    context: int | None = None  # tokens that may be sent
    images: bool | None = None  # taken as input
    chat: bool = True  # False: it makes embeddings, speech, pictures …
    hidden: bool = False  # served to who knows it, and shown to nobody
    codex: Json | None = field(default=None, repr=False)  # in Codex's own form, as it came


# Where the forms have it; the first that is there and of the right type counts.
LISTS = ("data", "models", "result", "items")
IDS = ("id", "slug", "model", "name")
TITLES = ("display_name", "displayName", "title", "name")
OWNERS = ("owned_by", "organization", "publisher")
CONTEXTS = (
    "top_provider.context_length",  # OpenRouter: what the best backend really has
    "loaded_context_length",  # LM Studio
    "meta.n_ctx",  # llama.cpp, before what the model was trained for
    "context_length",  # OpenRouter, Together, Moonshot
    "context_window",  # Groq, Codex's own form
    "max_model_len",  # vLLM
    "max_context_length",  # Mistral, LM Studio
    "meta.n_ctx_train",  # llama.cpp
)
# Where what is sent has a limit of its own, below the window that it shares with the answer: Codex
# takes the window for what it may send, and else compacts too late (openai/codex#37319).
BUDGETS = (
    "max_input_tokens",
    "inputTokenLimit",  # Gemini
    "capabilities.limits.max_prompt_tokens",  # GitHub Copilot
)
INPUTS = ("architecture.input_modalities", "input_modalities", "modalities.input")
OUTPUTS = ("architecture.output_modalities", "output_modalities", "modalities.output")
VISION = ("capabilities.vision", "supports_image_in", "supports_vision")
CHAT = ("capabilities.completion_chat",)  # Mistral
TYPES = ("type", "task")  # Together, LM Studio

# Nothing else tells of what kind most models are. Parts of names, between separators.
OTHER_TYPES = re.compile(r"embed|rerank|image|audio|speech|transcri|moderation|video", re.I)
OTHER_NAMES = re.compile(
    r"(?:^|[^a-z])(?:embed|embedding|embeddings|embedder|bge|e5|gte|minilm|rerank|reranker|colbert"
    r"|whisper|asr|tts|speech|audio|voxtral|transcribe|transcription|realtime|moderation"
    r"|dall-e|imagen|image|images|flux|stable-diffusion|sdxl|sora|veo|video|ocr"
    r"|babbage|davinci)(?:[^a-z]|$)|embed-|nomic-embed|text-embedding",
    re.I,
)


PATTERN = re.compile(r"[*?\[]")  # as fnmatch has it


def entries(body: bytes) -> list[Entry]:
    """The models of a list reply, in its order, each once. ValueError: it is not a model list."""
    found = codec.loads(body)
    for _ in range(2):  # some wrap the list twice
        if isinstance(found, dict):
            found = next((found[k] for k in LISTS if isinstance(found.get(k), list | dict)), None)
    if not isinstance(found, list):
        raise ValueError("not a model list")
    found = [{"id": one} if isinstance(one, str) else one for one in found]
    made = (entry(one) for one in sorted(found, key=rank))  # the order stays where none is told
    return list({one.id: one for one in made if one}.values())


def rank(model: Any) -> int:
    """Where Codex shows a model; the first one is its default."""
    return int((in_codexs_form(model) or {"priority": 0})["priority"])


# What Codex reads of each model, or else reads none at all (0.169).
CODEXS = (
    ("slug", str), ("base_instructions", str), ("shell_type", str), ("visibility", str),
    ("supported_reasoning_levels", list), ("truncation_policy", dict), ("priority", int),
)  # fmt: skip


def in_codexs_form(model: Any) -> Json | None:
    """The model, if its upstream speaks to Codex."""
    told = isinstance(model, dict) and all(isinstance(model.get(k), kind) for k, kind in CODEXS)
    return model if told else None


def entry(model: Any) -> Entry | None:
    """One element of a list reply."""
    name = first(model, IDS, str)
    if not name:
        return None
    created = first(model, ("created",), int)
    codex = in_codexs_form(model)
    return Entry(
        id=name,
        title=first(model, TITLES, str) or name,
        created=created if created and created > 0 else 0,
        owner=first(model, OWNERS, str) or "",
        context=budget(model),
        images=takes_images(model),
        chat=codex is not None or chats(model, name),
        hidden=first(model, ("visibility",), str) == "hide",
        codex=codex,
    )


def budget(model: Json) -> int | None:
    """The tokens that may be sent: the smaller of the window and of the limit on the input."""
    limits = (next((n for n in every(model, p, int) if n > 0), 0) for p in (CONTEXTS, BUDGETS))
    return min(filter(None, limits), default=None)


def takes_images(model: Json) -> bool | None:
    inputs = first(model, INPUTS, list)
    return first(model, VISION, bool) if inputs is None else "image" in inputs


def chats(model: Json, name: str) -> bool:
    outputs = first(model, OUTPUTS, list)
    if outputs is not None and "text" not in outputs:
        return False
    if first(model, CHAT, bool) is False or OTHER_TYPES.search(first(model, TYPES, str) or ""):
        return False
    return not OTHER_NAMES.search(name)


def first[T](model: Any, paths: Iterable[str], kind: type[T]) -> T | None:
    return next(every(model, paths, kind), None)


def every[T](model: Any, paths: Iterable[str], kind: type[T]) -> Iterator[T]:
    """The values at these dotted paths that are of the wanted type."""
    for path in paths:
        value = model
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            yield value


def offered(
    listed: Iterable[Entry], provider: Provider, *, model: str, renames: Iterable[tuple[str, str]]
) -> list[Entry]:
    """What the relay offers: the configured model, the renamed ones, then what upstream lists.

    A configured name is offered whether upstream lists it or not, and a rename has the properties
    of its target. Patterns are no names. The provider's table says what its list does not."""
    known = {one.id: whole(one, provider) for one in listed}
    chosen = [(model, model), *renames] if model else list(renames)
    first_ones: dict[str, Entry] = {}
    for name, target in chosen:
        if not PATTERN.search(name) and name not in first_ones:
            source = known.get(target) or whole(Entry(target), provider)
            title = source.title if name == target else name
            named = replace(source, id=name, title=title or name)
            first_ones[name] = replace(named, chat=True, hidden=False)
    return list((first_ones | {k: v for k, v in known.items() if k not in first_ones}).values())


def whole(one: Entry, provider: Provider) -> Entry:
    table = provider.of(one.id)
    images = table.images if one.images is None else one.images
    return replace(one, images=images, context=one.context or table.context_window)


def to_openai(listed: Iterable[Entry]) -> Json:
    """https://platform.openai.com/docs/api-reference/models/list"""
    data = [
        {"id": one.id, "object": "model", "created": one.created, "owned_by": one.owner or "relay"}
        for one in listed
        if not one.hidden
    ]
    return {"object": "list", "data": data}


# What we say of every model, whatever the template says: Codex's classic tools, which any chat
# model can use, and nothing that only OpenAI's own servers know.
CLASSIC: Json = {
    "visibility": "list",
    "supported_in_api": True,
    "shell_type": "unified_exec",
    "apply_patch_tool_type": "freeform",
    "supports_search_tool": False,  # else MCP tools are hidden behind a search
    "tool_mode": None,
    "use_responses_lite": False,
    "multi_agent_version": None,
    "model_messages": None,  # so that base_instructions is what the model gets
    # No effort is asked for until the user chooses one: models without thinking refuse the field.
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
    "auto_compact_token_limit": None,  # Codex's own share of the context window
    "upgrade": None,
    "availability_nux": None,
    "additional_speed_tiers": [],
    "service_tiers": [],
    "default_service_tier": None,
    "comp_hash": None,
}

# The rest, where no Codex is found to take it from.
TEMPLATE: Json = {
    "truncation_policy": {"mode": "tokens", "limit": 10_000},
    "effective_context_window_percent": 95,
    "experimental_supported_tools": [],
    "web_search_tool_type": "text",
}


def template(body: bytes) -> Json | None:
    """The entry of Codex's bundled catalog that is like ours: classic tools, full requests.

    Raises ValueError for what is not JSON."""
    found = codec.loads(body)
    models = found.get("models") if isinstance(found, dict) else None
    for model in models if isinstance(models, list) else []:
        match model:
            case {"base_instructions": str(text), "visibility": "list"} if text:
                if not model.get("tool_mode") and not model.get("use_responses_lite"):
                    # "… based on GPT-5": not here
                    text = re.sub(r" based on GPT-[\w.]*\w", "", text)
                    return {**model, "base_instructions": text}
    return None


def to_codex(listed: Iterable[Entry], base: Mapping[str, Any], *, owner: str) -> Json:
    """Codex's catalog. `base`: a template's entry, or TEMPLATE with `base_instructions`.

    What an upstream told in this form passes whole; its priority where that keeps the order."""
    models, last = [], -1
    for one in (one for one in listed if one.chat and (one.codex or not one.hidden)):
        told = one.codex or made(one, base, owner)
        last = max(last + 1, told["priority"])
        own = {"slug": one.id, "display_name": one.title or one.id, "priority": last}
        # names another model, by a name that it has not here
        moved = {"upgrade": None} if one.id != told["slug"] and told.get("upgrade") else {}
        models.append(told | own | moved)
    return {"models": models}


def made(one: Entry, base: Mapping[str, Any], owner: str) -> Json:
    """An entry for a model that Codex does not know."""
    return {
        **base,
        **CLASSIC,
        "slug": one.id,
        "description": f"{one.id}, by {owner}",
        "priority": 0,
        "context_window": one.context,
        "max_context_window": one.context,
        "input_modalities": ["text", "image"] if one.images else ["text"],
    }
