"""Lines go into a config.toml and come out again: the texts of real users, and edits meanwhile."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.codex_blocks import base_url_block, provider_block
from scripts.cli.codex_config.edits import (
    LinesChanged,
    NotUnderstood,
    insert_block,
    parse_config,
    take_back,
)

RELAY = "http://127.0.0.1:8080"
BLOCKS = (
    provider_block(RELAY, "deepseek-chat"),
    provider_block(RELAY, has_client_key=True),
    base_url_block(RELAY, "deepseek-chat"),
    base_url_block(RELAY),
)
TYPICAL = """\
# My Codex
model = "gpt-5.5"  # the default
model_reasoning_effort = "high"
approval_policy = "on-request"

# the servers that I use
[mcp_servers.docs]
command = "npx"
args = [
    "-y", # no questions
    "mcp-docs",
]

[projects."/home/me/work"]
trust_level = "trusted"
"""


def test_provider_block_keeps_comments_and_order() -> None:
    text = insert_block(TYPICAL, provider_block(RELAY, "deepseek-chat"))
    assert text == (
        """\
# Written by mitmcodex; `mitmcodex config undo` takes it back.
model_provider = "relay"

"""
        + TYPICAL.replace('"gpt-5.5"', '"deepseek-chat"')
        + """
# Written by mitmcodex; `mitmcodex config undo` takes it back.
[model_providers.relay]
name = "relay"
base_url = "http://127.0.0.1:8080/v1"
wire_api = "responses"
model_catalog_url = "http://127.0.0.1:8080/v1/models"
experimental_bearer_token = "none"
"""
    )


def test_users_own_table_of_that_name_gets_the_lines_of_the_block_only() -> None:
    own = '[model_providers.relay]\nname = "mine"\nbase_url = "http://old/v1"\nenv_key = "OLD"\n'
    text = insert_block(own, BLOCKS[0])
    assert tomllib.loads(text)["model_providers"] == tomllib.loads(BLOCKS[0])["model_providers"]
    assert take_back(own, text, text) == own
    assert take_back(own, text, text + "[tui]\ntheme = 1\n") == own + "[tui]\ntheme = 1\n"


def test_base_url_block_is_one_or_two_lines() -> None:
    text = insert_block(TYPICAL, base_url_block(RELAY))
    assert text.splitlines()[1] == 'openai_base_url = "http://127.0.0.1:8080/v1"'
    assert text.endswith(TYPICAL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model = \n", "not valid TOML: .*line 1"),
        ('model_providers = "mine"\n', "its model_providers is not a table"),
        ("[model_providers]\nrelay = 3\n", "its model_providers.relay is not a table"),
        ("[[model_providers.relay]]\nname = 'x'\n", "its model_providers.relay is not a table"),
        ('profile = "w"\n[profiles]\nw = 3\n', "its profiles.w is not a table"),
        ('profile = ["w"]\n', "its profile is not a text"),
        ('model_providers = { mine = { name = "x" } }\n', "a form that mitmcodex does not edit"),
        (
            'profile = "work"\n[profiles.work]\nmodel_provider = "azure"\n',
            "its profile 'work', which is in use, sets model_provider",
        ),
    ],
)
def test_text_that_cannot_be_edited_safely_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotUnderstood, match=reason):
        insert_block(text, BLOCKS[0])


def test_profile_that_is_not_in_use_is_no_obstacle() -> None:
    text = '[profiles.work]\nmodel_provider = "azure"\n'
    assert insert_block(text, BLOCKS[0]).count('model_provider = "azure"') == 1


def test_model_that_the_user_has_picked_in_codex_goes_with_the_block() -> None:
    written = insert_block(TYPICAL, BLOCKS[0])
    picked = written.replace('"deepseek-chat"', '"deepseek-reasoner"')
    assert take_back(TYPICAL, written, picked) == TYPICAL
    without_model = TYPICAL.replace('model = "gpt-5.5"  # the default\n', "")
    written = insert_block(without_model, BLOCKS[0])
    picked = written.replace('"deepseek-chat"', '"deepseek-reasoner"')
    assert take_back(without_model, written, picked) == without_model


def test_model_that_was_never_written_stays_as_it_is() -> None:
    written = insert_block(TYPICAL, base_url_block(RELAY))
    picked = written.replace('"gpt-5.5"', '"gpt-6"')
    assert take_back(TYPICAL, written, picked) == TYPICAL.replace('"gpt-5.5"', '"gpt-6"')


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("127.0.0.1:8080/v1", "127.0.0.1:9999/v1"),
        ('model_provider = "relay"', 'model_provider = "openai"'),
        ('wire_api = "responses"\n', ""),
        ('wire_api = "responses"\n', 'wire_api = "responses"\nrequest_max_retries = 9\n'),
    ],
)
def test_changed_lines_of_the_block_are_shown_and_not_taken_back(old: str, new: str) -> None:
    written = insert_block(TYPICAL, BLOCKS[0])
    with pytest.raises(LinesChanged) as changed:
        take_back(TYPICAL, written, written.replace(old, new))
    assert 'model_provider = "relay"' in changed.value.lines
    assert "[model_providers.relay]" in changed.value.lines


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6"])
def test_lines_that_the_user_has_removed_by_hand_are_gone(model: str) -> None:
    """Whatever else has changed, also the model, which Codex writes itself."""
    others = '\n[tui]\ntheme = "dark"\n\n[model_providers.azure]\nname = "Azure"\n'
    current = TYPICAL.replace("gpt-5.5", model) + others
    assert take_back(TYPICAL, insert_block(TYPICAL, BLOCKS[0]), current) == current
    left_over = current + '[model_providers.relay]\nname = "relay"\n'
    with pytest.raises(LinesChanged):
        take_back(TYPICAL, insert_block(TYPICAL, BLOCKS[0]), left_over)


def test_long_file_with_many_equal_lines_is_edited_exactly() -> None:
    projects = [f'[projects."/home/me/{n}"]\ntrust_level = "trusted"\n\n' for n in range(1500)]
    text = 'model = "gpt-5.5"\n\n' + "".join(projects)
    written = insert_block(text, BLOCKS[0])
    added = projects[0].replace("me/0", "me/new")
    current = written.replace(projects[700], f"{added}# mine\n{projects[700]}x = 1\n")
    expected = text.replace(projects[700], f"{added}# mine\n{projects[700]}x = 1\n")
    assert take_back(text, written, current) == expected


def test_text_that_is_broken_meanwhile_is_not_edited() -> None:
    written = insert_block(TYPICAL, BLOCKS[0])
    with pytest.raises(NotUnderstood):
        take_back(TYPICAL, written, written + "[broken")


# Real-looking files

ROOT_LINES = (
    'model = "gpt-5.5"',
    "model = 'gpt-5.5' # the default",
    'model_provider = "azure"   # work',
    'openai_base_url = "https://proxy.example/v1"',
    'model_reasoning_effort = "high"',
    "# a comment of mine: ⏳ ü",
    "",
    'approval_policy = "on-request"',
    'notify = [\n  "notify-send", # desktop\n  "Codex",\n]',
    'developer_instructions = """\nmodel = "not a setting"\n[not.a.table]\n"""',
    'tui.theme = "dark"',
    "hide_agent_reasoning=true",
)
TABLES = (
    "[tools]\nweb_search = true",
    "[mcp_servers.docs]\ncommand = 'npx' # found by PATH\nargs = [\"-y\"]",
    '[mcp_servers.docs.env]\nTOKEN = "x"',
    '[projects."/home/me/work"]\ntrust_level = "trusted"',
    "[projects.'C:\\work']\ntrust_level = \"untrusted\"",
    '[model_providers.azure]\nname = "Azure"\nbase_url = "https://a.example/v1"',
    '[model_providers.relay]\nname = "own"\nbase_url = "http://h/v1"\nenv_key = "K"',
    '[model_providers.azure.query_params]\napi-version = "1"',
    '[profiles.work]\nmodel_provider = "azure"',
    "[features]\nplugins = false",
    "[[skills.config]]\npath = \"/a\"\n\n[[skills.config]]\npath = \"/b\"",
)  # fmt: skip


def is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


@st.composite
def config_texts(draw: st.DrawFn) -> str:
    root = draw(st.lists(st.sampled_from(ROOT_LINES), unique=True, max_size=6))
    tables = draw(st.lists(st.sampled_from(TABLES), unique=True, max_size=6))
    gap = draw(st.sampled_from(["\n", "\n\n", "\n\n# a heading\n"]))
    text = "\n".join(root) + gap + gap.join(tables)
    text = draw(st.sampled_from([text, text + "\n", text + "\n\n", text.strip()]))
    text = text.replace("\n", "\r\n") if draw(st.booleans()) else text
    return text if is_toml(text) else ""


EDITS = (
    ("append", '\n[tui]\nnotifications = ["agent-turn-complete"]\n'),
    ("append", "# the last word"),
    ("append", '\n[projects."/tmp/x"]\ntrust_level = "trusted"\n'),
    ("prepend", "disable_response_storage = true\n"),
    ("prepend", "# a first line\n\n"),
    ("after web_search = true", "view_image = false\n"),
    ("after trust_level", "extra = 1\n"),
    ("remove", 'approval_policy = "on-request"'),
    ("remove", "plugins = false"),
    ("change", "false"),
    ("change", '"/a"'),
)


def edit(text: str, place: str, value: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    value = value.replace("\n", newline)
    if place == "append":
        return (text if text.endswith("\n") or not text else text + newline) + value
    if place == "prepend":
        return value + text
    if place == "change":
        return text.replace(value, '"changed"')
    if place == "remove":
        lines = text.splitlines(keepends=True)
        return "".join(line for line in lines if line.strip() != value.strip())
    needle, line_ends = (
        place.removeprefix("after "),
        text if text.endswith("\n") else text + newline,
    )
    lines = line_ends.splitlines(keepends=True)
    if not any(line.startswith(needle) for line in lines):
        return text
    return "".join(line + value if line.startswith(needle) else line for line in lines)


@given(config_texts(), st.sampled_from(BLOCKS))
def test_undo_after_write_is_the_identity(text: str, block: str) -> None:
    written = insert_block(text, block)
    assert take_back(text, written, written) == text
    entries, data = parse_config(block), parse_config(written)
    assert {**data, **entries, "model_providers": 0} == {**data, "model_providers": 0}


@given(config_texts(), st.sampled_from(BLOCKS), st.lists(st.sampled_from(EDITS), max_size=3))
def test_undo_keeps_the_edits_made_elsewhere(
    text: str, block: str, edits: list[tuple[str, str]]
) -> None:
    written = insert_block(text, block)
    current, expected = written, text
    for place, value in edits:
        current, expected = edit(current, place, value), edit(expected, place, value)
    if is_toml(current):  # an edit twice may define a table twice
        restored = take_back(text, written, current)
        assert tomllib.loads(restored) == tomllib.loads(expected)
        assert restored.split() == expected.split()
