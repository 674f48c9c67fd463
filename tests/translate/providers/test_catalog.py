import json
from dataclasses import replace

import pytest
from openai.types import Model

from tests import fake_backend
from tests.translate.support import PLAIN, provider
from translate.providers import catalog
from translate.providers.catalog import Entry

OPENAI = {
    "object": "list",
    "data": [
        {"id": "gpt-5.5", "object": "model", "created": 1700000000, "owned_by": "openai"},
        {"id": "text-embedding-3-small", "object": "model", "created": 1, "owned_by": "openai"},
    ],
}


def entries(value: object) -> list[Entry]:
    return catalog.entries(json.dumps(value).encode())


def test_openais_list() -> None:
    assert entries(OPENAI) == [
        Entry("gpt-5.5", "gpt-5.5", 1700000000, "openai"),
        Entry("text-embedding-3-small", "text-embedding-3-small", 1, "openai", chat=False),
    ]


# Abridged to what is read; as the providers' own documentation has them.
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
        Entry("anthropic/claude", "Anthropic: Claude", 1, "", 200000, True),
    ),
    "openrouter without an image": (
        {"data": [{"id": "x/y", "architecture": {"input_modalities": ["text"]}}]},
        Entry("x/y", "x/y", images=False),
    ),
    "vllm": (
        {"data": [{"id": "qwen3", "owned_by": "vllm", "max_model_len": 40960}]},
        Entry("qwen3", "qwen3", 0, "vllm", 40960),
    ),
    "groq": (
        {"data": [{"id": "llama", "owned_by": "Meta", "context_window": 131072}]},
        Entry("llama", "llama", 0, "Meta", 131072),
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
        Entry("mistral-large", "mistral-large", 0, "", 262144, True),
    ),
    "moonshot": (
        {"data": [{"id": "kimi", "context_length": 262144, "supports_image_in": False}]},
        Entry("kimi", "kimi", 0, "", 262144, False),
    ),
    "llama.cpp": (
        {"object": "list", "data": [{"id": "m.gguf", "meta": {"n_ctx_train": 32768}}]},
        Entry("m.gguf", "m.gguf", 0, "", 32768),
    ),
    "ollama's own": (
        {"models": [{"name": "qwen3:32b", "model": "qwen3:32b"}]},
        Entry("qwen3:32b", "qwen3:32b"),
    ),
    "gemini's own": (
        {"models": [{"name": "models/g", "displayName": "G", "inputTokenLimit": 1048576}]},
        Entry("models/g", "G", 0, "", 1048576),
    ),
    "github copilot": (
        {"data": [{"id": "c", "capabilities": {"limits": {"max_prompt_tokens": 12288}}}]},
        Entry("c", "c", 0, "", 12288),
    ),
    "an input that is less than the window": (
        {"data": [{"id": "m", "context_length": 400000, "max_input_tokens": 272000}]},
        Entry("m", "m", 0, "", 272000),
    ),
    "a window that is loaded in part": (
        {"data": [{"id": "m", "loaded_context_length": 8192, "max_input_tokens": 272000}]},
        Entry("m", "m", 0, "", 8192),
    ),
    "together": (
        [{"id": "a/b", "type": "chat", "display_name": "B", "context_length": 8192}],
        Entry("a/b", "B", 0, "", 8192),
    ),
    "names only": (["m"], Entry("m", "m")),
    "wrapped twice": ({"result": {"models": [{"id": "m"}]}}, Entry("m", "m")),
    "wrong types": (
        {"data": [{"id": "m", "created": "now", "context_length": True, "name": 5, "meta": [1]}]},
        Entry("m", "m"),
    ),
    "no length": ({"data": [{"id": "m", "context_length": 0}]}, Entry("m", "m")),
    "what is no model": ({"data": [None, 5, {}, {"id": ""}, {"id": "m"}, "m"]}, Entry("m", "m")),
}


@pytest.mark.parametrize(("form", "expected"), FORMS.values(), ids=FORMS)
def test_forms_of_providers(form: object, expected: Entry) -> None:
    assert entries(form) == [expected]


@pytest.mark.parametrize("body", [b"", b"<html>", b"5", b"null", b'{"error": {"message": "x"}}'])
def test_what_is_no_list_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        catalog.entries(body)


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
def test_models_that_do_not_chat_by_their_names(name: str) -> None:
    [one] = entries([name])
    assert not one.chat


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
def test_models_that_chat_by_their_names(name: str) -> None:
    [one] = entries([name])
    assert one.chat


@pytest.mark.parametrize(
    "more",
    [
        {"type": "embedding"},
        {"type": "image"},
        {"architecture": {"output_modalities": ["image"]}},
        {"capabilities": {"completion_chat": False}},
    ],
)
def test_models_that_do_not_chat_by_what_their_list_says(more: dict[str, object]) -> None:
    [one] = entries([{"id": "m", **more}])
    assert not one.chat


def test_configured_names_come_first_and_need_not_be_listed() -> None:
    listed = [Entry("a"), Entry("b", "Bee", context=5, images=True), Entry("c")]
    renames = [("x", "b"), ("y*", "c"), ("y?", "c"), ("[y]", "c"), ("x", "a"), ("z", "away")]
    offered = catalog.offered(listed, PLAIN, model="c", renames=renames)
    assert [one.id for one in offered] == ["c", "x", "z", "a", "b"]
    assert offered[1] == Entry("x", "x", context=5, images=True)  # as its target
    assert offered[2] == Entry("z", "z", context=128_000, images=True)  # as the table has it


def test_a_configured_model_is_offered_whatever_its_name_suggests() -> None:
    [one] = catalog.offered(
        [Entry("my-image-chat", chat=False)], PLAIN, model="my-image-chat", renames=()
    )
    assert one.chat


def test_nothing_configured_is_what_upstream_lists() -> None:
    [one] = catalog.offered([Entry("a")], PLAIN, model="", renames=())
    assert one == Entry("a", context=128_000, images=True)


def test_a_models_own_table_says_what_the_list_does_not() -> None:
    mine = provider(
        images=False, context_window=7, models={"*vl*": {"images": True, "context_window": 9}}
    )
    listed = [Entry("q"), Entry("q-vl"), Entry("p-vl", images=False, context=5)]
    renames = [("seer", "org/q-vl")]
    offered = catalog.offered(listed, mine, model="", renames=renames)
    assert [(one.id, one.images, one.context) for one in offered] == [
        ("seer", True, 9),
        ("q", False, 7),
        ("q-vl", True, 9),
        ("p-vl", False, 5),  # what the list says counts
    ]


def test_openais_form() -> None:
    form = catalog.to_openai(entries(OPENAI))
    assert form["object"] == "list"
    for one, sent in zip(form["data"], OPENAI["data"], strict=True):
        assert one == sent
        Model.model_validate(one, strict=True)


BASE = catalog.TEMPLATE | {"base_instructions": "You are Codex."}


def test_codexs_form() -> None:
    b = Entry("b", context=7, images=True)
    listed = [Entry("a", "A", context=1000, images=False), Entry("e", chat=False), b]
    models = catalog.to_codex(listed, BASE, owner="P")["models"]
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


def told(slug: str, priority: int, **more: object) -> dict[str, object]:
    """A model as OpenAI's service tells Codex of it."""
    return {
        "slug": slug, "display_name": slug.upper(), "priority": priority, "visibility": "list",
        "base_instructions": "You are Codex.", "shell_type": "unified_exec",
        "supported_reasoning_levels": [], "truncation_policy": {}, "tool_mode": "code_mode_only",
        **more,
    }  # fmt: skip


def test_what_is_told_in_codexs_form_passes_whole() -> None:
    """Its default first, as its priorities have it; these hold where they keep the order."""
    models = [told("b", 5), told("image-1", 2, visibility="hide"), told("c", 5)]
    listed = entries({"models": models})
    assert [one.id for one in listed] == ["image-1", "b", "c"]
    made = catalog.to_codex(listed, BASE, owner="P")["models"]
    assert made == [models[1], models[0], {**models[2], "priority": 6}]


def test_a_model_in_codexs_form_under_another_name() -> None:
    [one] = entries({"models": [told("b", 0, upgrade={"model": "c"})]})
    scoped = replace(one, id="chatgpt/b")
    first, last = catalog.to_codex([Entry("a"), scoped], BASE, owner="P")["models"]
    assert (first["slug"], first["priority"], first["tool_mode"]) == ("a", 0, None)
    assert last == told("chatgpt/b", 1, display_name="B", upgrade=None)


def test_a_form_that_codex_could_not_read_is_made_anew() -> None:
    model = {name: value for name, value in told("b", 3).items() if name != "truncation_policy"}
    [one] = catalog.to_codex(entries({"models": [model]}), BASE, owner="P")["models"]
    assert one["truncation_policy"] == BASE["truncation_policy"]
    assert (one["priority"], one["tool_mode"]) == (0, None)


def bundled(**more: object) -> dict[str, object]:
    text = "You are Codex, a coding agent based on GPT-5.1. You share a workspace."
    return {"slug": "x", "visibility": "list", "base_instructions": text, **more}


def test_the_template_is_the_classic_entry_of_codexs_catalog() -> None:
    models = [
        bundled(slug="code", tool_mode="code_mode_only"),
        bundled(slug="lite", use_responses_lite=True),
        bundled(slug="hidden", visibility="hide"),
        bundled(slug="empty", base_instructions=""),
        bundled(slug="classic", some_new_field=5),
        bundled(slug="later"),
    ]
    base = catalog.template(json.dumps({"models": models}).encode())
    assert base is not None
    assert base["slug"] == "classic"
    text = base["base_instructions"]
    assert text == "You are Codex, a coding agent. You share a workspace."
    [made] = catalog.to_codex([Entry("m")], base, owner="P")["models"]
    assert (made["slug"], made["some_new_field"]) == ("m", 5)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"models": 5}', b'{"models": [5, {}]}'])
def test_a_catalog_without_a_classic_entry_gives_no_template(body: bytes) -> None:
    assert catalog.template(body) is None


def test_the_chatgpt_backends_list_is_read_without_what_it_hides() -> None:
    listed = [fake_backend.model("gpt-5.5"), fake_backend.model("secret") | fake_backend.HIDDEN]
    found = catalog.entries(json.dumps({"models": listed}).encode())
    assert [(one.id, one.context, not one.hidden) for one in found] == [
        ("gpt-5.5", 272_000, True),
        ("secret", 272_000, False),
    ]
