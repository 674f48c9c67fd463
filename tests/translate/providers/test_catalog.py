"""Model lists: read in the forms of many upstreams, written in OpenAI's form and in Codex's."""

import json
from dataclasses import replace

import pytest
from openai.types import Model

from tests import fake_backend
from tests.translate.support import GENERIC, provider
from translate.providers import catalog
from translate.providers.catalog import CatalogModel

OPENAI = {
    "object": "list",
    "data": [
        {"id": "gpt-5.5", "object": "model", "created": 1700000000, "owned_by": "openai"},
        {"id": "text-embedding-3-small", "object": "model", "created": 1, "owned_by": "openai"},
    ],
}


def parse_models(value: object) -> list[CatalogModel]:
    return catalog.parse_model_list(json.dumps(value).encode())


def test_list_in_openais_form_is_read() -> None:
    assert parse_models(OPENAI) == [
        CatalogModel("gpt-5.5", "gpt-5.5", 1700000000, "openai"),
        CatalogModel("text-embedding-3-small", "text-embedding-3-small", 1, "openai", chat=False),
    ]


# From the documentation of the providers, abridged to what the relay reads.
FORMS = {
    "openrouter": (
        {
            "data": [
                {
                    "id": "anthropic/claude",
                    "name": "Anthropic: Claude",
                    "created": 1,
                    "context_length": 1000000,
                    "architecture": {
                        "input_modalities": ["text", "image", "file"],
                        "output_modalities": ["text"],
                    },
                    "top_provider": {"context_length": 200000},
                }
            ]
        },
        CatalogModel("anthropic/claude", "Anthropic: Claude", 1, "", 200000, True),
    ),
    "openrouter without an image": (
        {"data": [{"id": "x/y", "architecture": {"input_modalities": ["text"]}}]},
        CatalogModel("x/y", "x/y", images=False),
    ),
    "vllm": (
        {"data": [{"id": "qwen3", "owned_by": "vllm", "max_model_len": 40960}]},
        CatalogModel("qwen3", "qwen3", 0, "vllm", 40960),
    ),
    "groq": (
        {"data": [{"id": "llama", "owned_by": "Meta", "context_window": 131072}]},
        CatalogModel("llama", "llama", 0, "Meta", 131072),
    ),
    "mistral": (
        {
            "data": [
                {
                    "id": "mistral-large",
                    "capabilities": {"completion_chat": True, "vision": True},
                    "max_context_length": 262144,
                }
            ]
        },
        CatalogModel("mistral-large", "mistral-large", 0, "", 262144, True),
    ),
    "moonshot": (
        {"data": [{"id": "kimi", "context_length": 262144, "supports_image_in": False}]},
        CatalogModel("kimi", "kimi", 0, "", 262144, False),
    ),
    "llama.cpp": (
        {"object": "list", "data": [{"id": "m.gguf", "meta": {"n_ctx_train": 32768}}]},
        CatalogModel("m.gguf", "m.gguf", 0, "", 32768),
    ),
    "ollama's own": (
        {"models": [{"name": "qwen3:32b", "model": "qwen3:32b"}]},
        CatalogModel("qwen3:32b", "qwen3:32b"),
    ),
    "gemini's own": (
        {"models": [{"name": "models/g", "displayName": "G", "inputTokenLimit": 1048576}]},
        CatalogModel("models/g", "G", 0, "", 1048576),
    ),
    "github copilot": (
        {"data": [{"id": "c", "capabilities": {"limits": {"max_prompt_tokens": 12288}}}]},
        CatalogModel("c", "c", 0, "", 12288),
    ),
    "an input that is less than the window": (
        {"data": [{"id": "m", "context_length": 400000, "max_input_tokens": 272000}]},
        CatalogModel("m", "m", 0, "", 272000),
    ),
    "a window that is loaded in part": (
        {"data": [{"id": "m", "loaded_context_length": 8192, "max_input_tokens": 272000}]},
        CatalogModel("m", "m", 0, "", 8192),
    ),
    "together": (
        [{"id": "a/b", "type": "chat", "display_name": "B", "context_length": 8192}],
        CatalogModel("a/b", "B", 0, "", 8192),
    ),
    "names only": (["m"], CatalogModel("m", "m")),
    "wrapped twice": ({"result": {"models": [{"id": "m"}]}}, CatalogModel("m", "m")),
    "wrong types": (
        {"data": [{"id": "m", "created": "now", "context_length": True, "name": 5, "meta": [1]}]},
        CatalogModel("m", "m"),
    ),
    "no length": ({"data": [{"id": "m", "context_length": 0}]}, CatalogModel("m", "m")),
    "elements that are not models": (
        {"data": [None, 5, {}, {"id": ""}, {"id": "m"}, "m"]},
        CatalogModel("m", "m"),
    ),
}


@pytest.mark.parametrize(("form", "expected"), FORMS.values(), ids=FORMS)
def test_lists_of_every_form_are_read(form: object, expected: CatalogModel) -> None:
    assert parse_models(form) == [expected]


@pytest.mark.parametrize("body", [b"", b"<html>", b"5", b"null", b'{"error": {"message": "x"}}'])
def test_body_without_a_list_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        catalog.parse_model_list(body)


@pytest.mark.parametrize(
    "name",
    [
        "text-embedding-ada-002",
        "nomic-embed-text:latest",
        "BAAI/bge-m3",
        "whisper-1",
        "gpt-4o-mini-tts",
        "gpt-4o-transcribe",
        "gpt-realtime",
        "gpt-audio",
        "omni-moderation-latest",
        "dall-e-3",
        "gpt-image-1",
        "sora-2",
        "davinci-002",
        "qwen3-reranker-8b",
        "mistral-ocr-latest",
    ],
)
def test_name_says_that_a_model_does_not_chat(name: str) -> None:
    [model] = parse_models([name])
    assert not model.chat


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5.5",
        "deepseek-chat",
        "claude-sonnet-4.5",
        "qwen3-coder:30b",
        "gemini-2.5-pro",
        "kimi-k2-thinking",
        "devstral-medium",
        "glm-4.6v",
        "llama-guardian-sorath",
        "demo",
    ],
)
def test_other_names_are_of_models_that_chat(name: str) -> None:
    [model] = parse_models([name])
    assert model.chat


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "embedding"},
        {"type": "image"},
        {"architecture": {"output_modalities": ["image"]}},
        {"capabilities": {"completion_chat": False}},
    ],
)
def test_list_says_that_a_model_does_not_chat(fields: dict[str, object]) -> None:
    [model] = parse_models([{"id": "m", **fields}])
    assert not model.chat


def test_configured_names_come_first_and_need_not_be_listed() -> None:
    upstream_models = [
        CatalogModel("a"),
        CatalogModel("b", "Bee", context_window=5, images=True),
        CatalogModel("c"),
    ]
    renames = [("x", "b"), ("y*", "c"), ("y?", "c"), ("[y]", "c"), ("x", "a"), ("z", "away")]
    offered = catalog.models_on_offer(
        upstream_models, GENERIC, configured_model="c", renames=renames
    )
    assert [model.id for model in offered] == ["c", "x", "z", "a", "b"]
    like_target = CatalogModel("x", "x", context_window=5, images=True)
    from_table = CatalogModel("z", "z", context_window=128_000, images=True)
    assert offered[1:3] == [like_target, from_table]


def test_a_configured_model_is_offered_whatever_its_name_suggests() -> None:
    [model] = catalog.models_on_offer(
        [CatalogModel("my-image-chat", chat=False)],
        GENERIC,
        configured_model="my-image-chat",
        renames=(),
    )
    assert model.chat


def test_without_configuration_the_upstreams_models_are_offered() -> None:
    [model] = catalog.models_on_offer([CatalogModel("a")], GENERIC, configured_model="", renames=())
    assert model == CatalogModel("a", context_window=128_000, images=True)


def test_table_of_a_model_fills_what_the_list_leaves_open() -> None:
    table = provider(
        images=False, context_window=7, models={"*vl*": {"images": True, "context_window": 9}}
    )
    upstream_models = [
        CatalogModel("q"),
        CatalogModel("q-vl"),
        CatalogModel("p-vl", images=False, context_window=5),
    ]
    renames = [("seer", "org/q-vl")]
    offered = catalog.models_on_offer(upstream_models, table, configured_model="", renames=renames)
    assert [(model.id, model.images, model.context_window) for model in offered] == [
        ("seer", True, 9),
        ("q", False, 7),
        ("q-vl", True, 9),
        ("p-vl", False, 5),  # the list counts more
    ]


def test_models_are_written_in_openais_form() -> None:
    form = catalog.models_to_openai(parse_models(OPENAI))
    assert form["object"] == "list"
    for model, sent in zip(form["data"], OPENAI["data"], strict=True):
        assert model == sent
        Model.model_validate(model, strict=True)


TEMPLATE = catalog.DEFAULT_CATALOG_TEMPLATE | {"base_instructions": "You are Codex."}


def test_models_are_written_in_codexs_form() -> None:
    b = CatalogModel("b", context_window=7, images=True)
    upstream_models = [
        CatalogModel("a", "A", context_window=1000, images=False),
        CatalogModel("e", chat=False),
        b,
    ]
    models = catalog.models_to_codex(upstream_models, TEMPLATE, owner="P")["models"]
    assert [(m["slug"], m["display_name"], m["priority"]) for m in models] == [
        ("a", "A", 0),
        ("b", "b", 1),
    ]
    assert [m["context_window"] for m in models] == [1000, 7]
    assert [m["input_modalities"] for m in models] == [["text"], ["text", "image"]]
    for model in models:
        assert model["base_instructions"] == "You are Codex."
        assert (model["tool_mode"], model["use_responses_lite"]) == (None, False)
        assert not model["supports_search_tool"]
        assert model["apply_patch_tool_type"] == "freeform"


def codex_model(slug: str, priority: int, **fields: object) -> dict[str, object]:
    """A model as OpenAI's service lists it for Codex."""
    return {
        "slug": slug, "display_name": slug.upper(), "priority": priority, "visibility": "list",
        "base_instructions": "You are Codex.", "shell_type": "unified_exec",
        "supported_reasoning_levels": [], "truncation_policy": {}, "tool_mode": "code_mode_only",
        **fields,
    }  # fmt: skip


def test_model_in_codexs_form_passes_unchanged() -> None:
    """Codex's default comes first; a priority changes only if it would change the order."""
    models = [
        codex_model("b", 5),
        codex_model("image-1", 2, visibility="hide"),
        codex_model("c", 5),
    ]
    upstream_models = parse_models({"models": models})
    assert [model.id for model in upstream_models] == ["image-1", "b", "c"]
    entries = catalog.models_to_codex(upstream_models, TEMPLATE, owner="P")["models"]
    assert entries == [models[1], models[0], {**models[2], "priority": 6}]


def test_model_in_codexs_form_may_get_another_name() -> None:
    [model] = parse_models({"models": [codex_model("b", 0, upgrade={"model": "c"})]})
    scoped = replace(model, id="chatgpt/b")
    first, last = catalog.models_to_codex([CatalogModel("a"), scoped], TEMPLATE, owner="P")[
        "models"
    ]
    assert (first["slug"], first["priority"], first["tool_mode"]) == ("a", 0, None)
    assert last == codex_model("chatgpt/b", 1, display_name="B", upgrade=None)


def test_entry_that_codex_cannot_read_is_replaced() -> None:
    model = {
        name: value for name, value in codex_model("b", 3).items() if name != "truncation_policy"
    }
    [model] = catalog.models_to_codex(parse_models({"models": [model]}), TEMPLATE, owner="P")[
        "models"
    ]
    assert model["truncation_policy"] == TEMPLATE["truncation_policy"]
    assert (model["priority"], model["tool_mode"]) == (0, None)


def bundled(**fields: object) -> dict[str, object]:
    text = "You are Codex, a coding agent based on GPT-5.1. You share a workspace."
    return {"slug": "x", "visibility": "list", "base_instructions": text, **fields}


def test_the_template_is_the_classic_entry_of_codexs_catalog() -> None:
    models = [
        bundled(slug="code", tool_mode="code_mode_only"),
        bundled(slug="lite", use_responses_lite=True),
        bundled(slug="hidden", visibility="hide"),
        bundled(slug="empty", base_instructions=""),
        bundled(slug="classic", some_new_field=5),
        bundled(slug="later"),
    ]
    template = catalog.find_catalog_template(json.dumps({"models": models}).encode())
    assert template is not None and template["slug"] == "classic"
    assert template["base_instructions"] == "You are Codex, a coding agent. You share a workspace."
    [entry] = catalog.models_to_codex([CatalogModel("m")], template, owner="P")["models"]
    assert (entry["slug"], entry["some_new_field"]) == ("m", 5)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"models": 5}', b'{"models": [5, {}]}'])
def test_a_catalog_without_a_classic_entry_gives_no_template(body: bytes) -> None:
    assert catalog.find_catalog_template(body) is None


def test_models_that_the_chatgpt_backend_hides_are_marked() -> None:
    upstream_models = [
        fake_backend.catalog_entry("gpt-5.5"),
        fake_backend.catalog_entry("secret") | fake_backend.HIDDEN,
    ]
    models = catalog.parse_model_list(json.dumps({"models": upstream_models}).encode())
    assert [(model.id, model.context_window, not model.hidden) for model in models] == [
        ("gpt-5.5", 272_000, True),
        ("secret", 272_000, False),
    ]


@pytest.mark.parametrize(
    ("model", "tools"),
    [
        ({"supported_parameters": ["tools", "seed"]}, True),  # OpenRouter
        ({"supported_parameters": ["seed"]}, False),
        ({"capabilities": {"function_calling": True}}, True),  # Mistral
        ({"capabilities": {"supports": {"tool_calls": False}}}, False),  # GitHub Copilot
        ({}, None),
    ],
)
def test_models_that_call_tools(model: dict[str, object], tools: bool | None) -> None:
    assert parse_models({"data": [{"id": "m", **model}]})[0].has_tools is tools
