"""How clients are told of the relay: text to copy, with the URL under which the page was asked."""

from typing import NamedTuple

PLACEHOLDER = "YOUR_RELAY_KEY"  # never the key itself
NONE = "none"  # clients want one, the relay does not


class Snippet(NamedTuple):
    name: str
    where: str  # what it is for, or where it goes
    text: str


TEXTS = (
    Snippet(
        "Codex",
        "~/.codex/config.toml{codex_key}",
        """\
model = "{model}"
model_provider = "relay"

[model_providers.relay]
name = "relay"
base_url = "{url}/v1"
wire_api = "responses"
{env_key}""",
    ),
    Snippet(
        "Codex, by proxy",
        "A terminal: Codex keeps its own provider, and its calls pass through here.",
        """\
export HTTPS_PROXY={url}
export CODEX_CA_CERTIFICATE={ca}
{login}codex
""",
    ),
    Snippet(
        "Cursor",
        "Settings → Models → API Keys. Cursor asks from its own servers: there this URL must be "
        "one that the internet can reach.",
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
name: codex-relay
version: 1.0.0
schema: v1
models:
  - name: {model} by codex-relay
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


def snippets(url: str, model: str, ca: str, keyed: bool) -> list[dict[str, str]]:
    """All of them; `url`: the relay's, without a path; `keyed`: clients must bring a key."""
    words = {
        "url": url,
        "model": plain(model),
        "ca": ca,
        "key": PLACEHOLDER if keyed else NONE,
        "env_key": 'env_key = "RELAY_KEY"\n' if keyed else "",
        "login": f"echo {PLACEHOLDER} | codex login --with-api-key\n" if keyed else "",
        "codex_key": f"; in the terminal: export RELAY_KEY={PLACEHOLDER}" if keyed else "",
    }
    return [{field: text.format(**words) for field, text in one._asdict().items()} for one in TEXTS]


def plain(model: str) -> str:
    """A name that needs no quoting in any of these languages."""
    return model if model and all(c.isalnum() or c in "._-/:@" for c in model) else "MODEL"
