"""How to set up clients: texts to copy, with the URL at which the browser reaches the relay."""

from typing import NamedTuple

from addons.codex_blocks import KEY_VARIABLE, provider_block
from addons.routing import NO_KEY

PLACEHOLDER = "YOUR_RELAY_KEY"  # never the key itself


class Snippet(NamedTuple):
    name: str
    where: str  # where the text goes, or what it is for
    text: str


SNIPPETS = (
    Snippet(
        "Codex",
        "~/.codex/config.toml{codex_key}",
        "{codex_block}",
    ),
    Snippet(
        "Codex, by proxy",
        "A terminal: Codex keeps its own provider, and its calls pass through here.",
        """\
export HTTPS_PROXY={proxy_url}
export CODEX_CA_CERTIFICATE={ca}
codex
""",
    ),
    Snippet(
        "Cursor",
        "Settings → Models → API Keys. Cursor sends requests from its own servers, so this URL "
        "must be reachable from the internet.",
        """\
OpenAI API Key: {key}
Override OpenAI Base URL: {url}/v1
Custom model: {model}
""",
    ),
    Snippet(
        "Continue",
        "~/.continue/config.yaml",
        """\
name: mitmcodex
version: 1.0.0
schema: v1
models:
  - name: {model} by mitmcodex
    provider: openai
    model: {model}
    apiBase: {url}/v1
    apiKey: {key}
    roles: [chat, edit, apply]
""",
    ),
    Snippet(
        "aider",
        "A terminal",
        """\
export OPENAI_API_BASE={url}/v1
export OPENAI_API_KEY={key}
aider --model openai/{model}
""",
    ),
    Snippet(
        "Python",
        "pip install openai",
        """\
from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
reply = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello!"}}],
)
print(reply.choices[0].message.content)
""",
    ),
    Snippet(
        "Node",
        "npm install openai",
        """\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{url}/v1", apiKey: "{key}" }});
const reply = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello!" }}],
}});
console.log(reply.choices[0].message.content);
""",
    ),
    Snippet(
        "curl",
        "A terminal",
        """\
curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
""",
    ),
)


def client_snippets(
    relay_url: str, model: str, ca_file: str, has_client_key: bool
) -> list[dict[str, str]]:
    """All texts. `relay_url` has no path; with `has_client_key` clients must send a key."""
    values = {
        "url": relay_url,
        "model": quotable_model(model),
        "ca": ca_file,
        "key": PLACEHOLDER if has_client_key else NO_KEY,
        "codex_block": provider_block(
            relay_url, quotable_model(model), has_client_key=has_client_key
        ),
        "proxy_url": relay_url.replace("//", f"//relay:{PLACEHOLDER}@", 1)
        if has_client_key
        else relay_url,
        "codex_key": f"; in the terminal: export {KEY_VARIABLE}={PLACEHOLDER}"
        if has_client_key
        else "",
    }
    return [
        {field: text.format(**values) for field, text in snippet._asdict().items()}
        for snippet in SNIPPETS
    ]


def quotable_model(model: str) -> str:
    """The model's name if it needs no quoting in any of these languages, else `MODEL`."""
    is_quotable = model and all(char.isalnum() or char in "._-/:@" for char in model)
    return model if is_quotable else "MODEL"
