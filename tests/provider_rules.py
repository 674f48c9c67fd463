"""What each provider refuses that others accept, for the strict provider. Sources: their references
and their 400s, and not providers.toml, which these rules test."""

from tests.strict_chat import Rules

SYSTEM = {"system", "user", "assistant", "tool"}
DEVELOPER = {"developer", "user", "assistant", "tool"}
OPENAI = {
    "logit_bias", "metadata", "prompt_cache_key", "safety_identifier", "service_tier", "verbosity",
}  # fmt: skip
PENALTIES = {"frequency_penalty", "presence_penalty", "logit_bias"}
NO_REASONING: set[str] = set()
# https://github.com/MoonshotAI/walle/blob/main/docs/mfjs-walle-vs-draft-2020-12.md
MOONSHOT = {
    "type", "properties", "required", "additionalProperties", "anyOf", "items", "enum", "minLength",
    "maxLength", "minimum", "maximum", "minItems", "maxItems", "title", "description", "default",
    "$id", "$ref", "$defs",
}  # fmt: skip
# https://ai.google.dev/api/caching#Schema
OPENAPI = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems",
    "properties", "required", "minProperties", "maxProperties", "minLength", "maxLength", "pattern",
    "example", "anyOf", "propertyOrdering", "default", "items", "minimum", "maximum",
}  # fmt: skip

RULES_OF_PROVIDERS = {
    "azure": Rules(
        fields=OPENAI, roles=DEVELOPER, reasoning_fields=NO_REASONING, refused={"max_tokens"},
        description=1024,
    ),
    "deepseek": Rules(
        fields={"thinking"}, images=False, needs_reasoning=True,
        reasoning_fields={"reasoning_content"}, strict=False,
    ),
    "kimi": Rules(
        fields={"thinking", "prompt_cache_key"}, needs_reasoning=True, keywords=MOONSHOT,
        images=r"kimi-(k2\.[5-9]|k[3-9]).*|moonshot-.*vision.*",
        reasoning_fields={"reasoning_content"}, refused={"temperature", "top_p", *PENALTIES},
    ),
    "qwen": Rules(
        fields={"enable_thinking", "preserve_thinking"}, refused={"reasoning_effort"},
        reasoning_fields={"reasoning_content"}, image_types="png|jpeg|webp",
        no_json={"enable_thinking": True},
    ),
    "mistral": Rules(
        fields={"prompt_cache_key"}, include_usage=None, reasoning_fields=NO_REASONING,
        parts={"thinking"},
        call_id=r"[a-zA-Z0-9]{9}", refused={"max_completion_tokens", "seed", "user"},
    ),
    "groq": Rules(
        fields={"service_tier"}, reasoning_fields={"reasoning"}, refused=PENALTIES
    ),
    "xai": Rules(
        headers={"x-grok-conv-id"}, reasoning_fields={"reasoning_content"},
        refused={"stop", *PENALTIES}, image_types="png|jpeg",
    ),
    "openrouter": Rules(
        fields={"reasoning", "verbosity", "session_id"}, refused={"reasoning_effort"},
        reasoning_fields={"reasoning", "reasoning_details"}, hosted={"openrouter:web_search"},
        # OpenRouterTeam/typescript-sdk: websearchservertoolconfig.ts
        search_options={
            "allowed_domains", "engine", "excluded_domains", "max_results", "max_total_results",
            "search_context_size", "user_location",
        },
    ),
    "glm": Rules(
        fields={"thinking", "tool_stream"}, images=r"glm-[\d.]+v.*", choices=set(), strict=False,
        reasoning_fields={"reasoning_content"},
        refused={"max_completion_tokens", "parallel_tool_calls", "seed", *PENALTIES},
    ),
    "minimax": Rules(
        fields={"thinking", "reasoning_split"}, system_first=True, strict=False,
        refused={"reasoning_effort", "max_tokens", "seed", "stop", *PENALTIES},
    ),
    "gemini": Rules(
        keywords=OPENAPI, call_fields={"extra_content"}, reasoning_fields=NO_REASONING,
        refused={"parallel_tool_calls", "seed", *PENALTIES}, strict=False,
        image_types="png|jpeg|webp|heic|heif",
    ),
    "ollama": Rules(image_types="png|jpeg"),
    "lmstudio": Rules(choices={"none", "required"}),
    "llamacpp": Rules(
        choices={"none", "required"}, system_first=True, image_types="png|jpeg|gif"
    ),
    "vllm": Rules(
        system_first=True, fields={"top_k", "min_p", "chat_template_kwargs", "guided_regex"}
    ),
    "together": Rules(fields={"reasoning"}),
    "fireworks": Rules(fields={"prompt_cache_key", "service_tier"}),
    "cerebras": Rules(
        reasoning_fields=NO_REASONING, images=False, strict=False,
        refused={"parallel_tool_calls", "max_tokens", *PENALTIES},
    ),
}  # fmt: skip
