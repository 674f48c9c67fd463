"""The trees keep the rules of imports (arrows.py), and each rule sees what breaks it."""

from pathlib import Path

import pytest

from tests.architecture.arrows import ROOT, ROWS, RULES, SourceTree


@pytest.fixture(scope="module")
def source() -> SourceTree:
    return SourceTree(ROOT)


@pytest.mark.parametrize("rule", RULES)
def test_trees_keep_the_rule(rule: str, source: SourceTree) -> None:
    violations = list(RULES[rule](source))
    assert not violations, "\n".join([f"{rule}: {len(violations)} violations", *violations])


# Every rule is seen to fail on the smallest tree that breaks it.

Files = dict[str, str]
PACKAGE = {"addons/config/__init__.py": "from addons.config.addon import Config\n"}
PUBLIC = {"addons/config/__init__.py": '__all__ = ["Config"]\n'}
FACE = {"translate/__init__.py": '__all__ = ["decode"]\n'}
PLANTED: list[tuple[str, Files, list[str]]] = [
    # rule, files, the beginnings of its violations
    (
        "translate rows",
        {"translate/wire/sse.py": "from translate.tools.kinds import Kind"},
        ["translate/wire/sse.py:1: imports translate.tools.kinds, but 'wire' is below 'tools'"],
    ),
    (
        "translate rows",
        {"translate/tools/kinds.py": "from translate import decode", **FACE},
        ["translate/tools/kinds.py:1: imports translate, but 'tools' is below '__init__'"],
    ),
    (
        "translate rows",
        {"translate/extra.py": ""},
        ["translate/extra.py:1: 'extra' has no row in ROWS['translate']"],
    ),
    (
        "addons rows",
        {"addons/accounts/pool.py": "def lease():\n    from addons.routing import target\n"},
        ["addons/accounts/pool.py:2: imports addons.routing, but 'accounts' is below 'routing'"],
    ),
    (
        "addons rows",
        {"addons/routing/target.py": "if TYPE_CHECKING:\n    import addons.observe.metrics\n"},
        ["addons/routing/target.py:2: imports addons.observe.metrics, but 'routing' shares its"],
    ),
    (
        "addons rows",
        {"addons/extra/__init__.py": "", "addons/extra/module.py": ""},
        ["addons/extra/__init__.py:1: 'extra' has no row", "addons/extra/module.py:1: 'extra' has"],
    ),
    (
        "command line rows",
        {"scripts/cli/console.py": "from .app import main", "scripts/cli/app.py": ""},
        ["scripts/cli/console.py:1: imports scripts.cli.app, but 'console' is below 'app'"],
    ),
    (
        "command line rows",
        {"scripts/cli/doctor/checks.py": "from ..commands import up", "scripts/cli/extra.py": ""},
        [
            "scripts/cli/extra.py:1: 'extra' has no row in ROWS['scripts.cli']",
            "scripts/cli/doctor/checks.py:1: imports scripts.cli.commands, but 'doctor' is below",
        ],
    ),
    (
        "command line imports",
        {
            "scripts/cli/commands/down.py": "from .up import start\nfrom ..errors import Failed",
            "scripts/cli/commands/up.py": "from scripts.cli.errors import Failed",
            "scripts/cli/errors.py": "",
            "addons/launch.py": "from scripts.cli import errors",
        },
        [
            "addons/launch.py:1: imports scripts.cli.errors; nothing imports the command line",
            "scripts/cli/commands/down.py:1: imports scripts.cli.commands.up; commands do not",
            "scripts/cli/commands/up.py:1: imports scripts.cli.errors; imports in the command line",
        ],
    ),
    (
        "no cycles",
        {
            "addons/views/base.py": "from addons.views import text",
            "addons/views/text.py": "\n\ndef show():\n    from addons.views.base import View\n",
        },
        ["addons/views/base.py:1: import cycle addons.views.base → addons.views.text → addons.v"],
    ),
    (
        "no cycles",
        {"addons/config/addon.py": "from addons.config import Config", **PACKAGE},
        ["addons/config/__init__.py:1: import cycle addons.config → addons.config.addon → addons"],
    ),
    (
        "translate's public names",
        {"addons/relay.py": "from translate import decode, encode", **FACE},
        ["addons/relay.py:1: 'encode' is not in translate.__all__"],
    ),
    (
        "translate's public names",
        {"scripts/cli/app.py": "from translate import decode, encode", **FACE},
        ["scripts/cli/app.py:1: 'encode' is not in translate.__all__"],
    ),
    (
        "translate's public names",
        {"addons/relay.py": "from translate.wire import sse\nimport translate.wire", **FACE},
        [
            "addons/relay.py:1: imports translate.wire.sse; others use `from translate import …`",
            "addons/relay.py:2: imports translate.wire; others",
        ],
    ),
    (
        "translate's public names",
        {"addons/relay.py": "import translate as t\nt.decode()\nt.encode()", **FACE},
        ["addons/relay.py:3: 'encode' is not in translate.__all__"],
    ),
    (
        "packages' public names",
        {"addons/relay.py": "from addons.config import Config, Secret", **PUBLIC},
        ["addons/relay.py:1: 'Secret' is not in addons.config.__all__"],
    ),
    (
        "packages' public names",
        {"scripts/cli/config/home.py": "from addons.config import Config, Secret", **PUBLIC},
        ["scripts/cli/config/home.py:1: 'Secret' is not in addons.config.__all__"],
    ),
    (
        "packages' public names",
        {"addons/relay.py": "from addons.config import *", **PUBLIC},
        ["addons/relay.py:1: '*' is not in addons.config.__all__"],
    ),
    (
        "packages' public names",
        {
            "addons/relay.py": "from addons.config.addon import Config\nimport addons.config",
            "addons/config/addon.py": "",
            **PUBLIC,
        },
        [
            "addons/relay.py:1: imports addons.config.addon.Config; other packages use",
            "addons/relay.py:2: imports addons.config; other packages use",
        ],
    ),
    (
        "packages' public names",
        {"addons/relay.py": "from addons.config import addon", "addons/config/addon.py": ""},
        ["addons/relay.py:1: 'addon' is not in addons.config.__all__"],
    ),
    (
        "packages' public names",
        {
            "addons/relay.py": "from addons import config\nconfig.Config\nconfig.Secret\nf(config)",
            **PUBLIC,
        },
        [
            "addons/relay.py:3: 'Secret' is not in addons.config.__all__",
            "addons/relay.py:4: uses the module addons.config as a value",
        ],
    ),
    (
        "packages' public names",
        {"addons/config/addon.py": "from addons.config import Config", **PUBLIC},
        ["addons/config/addon.py:1: imports from the __init__ of its own package"],
    ),
    (
        "packages' public names",
        {"addons/relay.py": "import addons", **PUBLIC},
        ["addons/relay.py:1: imports all of addons"],
    ),
    (
        "translate is pure",
        {"translate/wire/sse.py": "import os.path\ndef now():\n    from time import time\n"},
        ["translate/wire/sse.py:1: imports os.path", "translate/wire/sse.py:3: imports time"],
    ),
    (
        "translate is pure",
        {"translate/wire/sse.py": "from addons import config"},
        ["translate/wire/sse.py:1: imports addons"],
    ),
    (
        "absolute imports",
        {
            "addons/config/addon.py": "from . import Config",
            "translate/wire/sse.py": "\nfrom ..tools import kinds",
        },
        [
            "addons/config/addon.py:1: imports from .; imports are absolute",
            "translate/wire/sse.py:2: imports from ..; imports are absolute",
        ],
    ),
    (
        "sorted exports",
        {
            "addons/config/__init__.py": 'import base\n__all__ = ["data", "base"]\ndef data(): ...',
            "translate/__init__.py": '__all__ = ["decode", "decode"]\ndecode = 1\n',
            "translate/wire/__init__.py": '__all__ = ["read"]\ndef decode(read): ...\n',
        },
        [
            "addons/config/__init__.py:2: __all__ is not sorted",
            "translate/__init__.py:1: __all__ is not sorted, or names something twice",
            "translate/wire/__init__.py:1: there is no 'read'",
        ],
    ),
    (
        "no library names",
        {"addons/inspect/base.py": "", "addons/statistics.py": ""},
        [
            "addons/inspect/base.py:1: 'inspect' is a module of the standard library",
            "addons/statistics.py:1: 'statistics' is a module",
        ],
    ),
]
GOOD = {  # every form that is allowed
    "translate/__init__.py": (
        "from translate.exchange import exchange\n"
        '__all__ = ["decode", "exchange"]\n'
        "def decode(): ...\n"
    ),
    "translate/exchange.py": "from translate import wire\nfrom translate.wire import sse",
    "translate/wire/__init__.py": "",
    "translate/wire/sse.py": "from translate.wire.codec import decode",
    "translate/wire/codec.py": "import json",
    "addons/__init__.py": "",
    "addons/identity.py": "import os",
    "addons/config/__init__.py": (
        'from addons.config.addon import Config\n__all__ = ["Config", "settings"]\nsettings = 1\n'
    ),
    "addons/config/addon.py": "from addons.config import settings\nfrom addons.identity import X",
    "addons/config/settings.py": "from translate import decode, exchange",
    "addons/config/base.py": "import translate\ntranslate.decode()",
    "scripts/cli/__init__.py": "",
    "scripts/cli/__main__.py": "from .app import main",
    "scripts/cli/app.py": "from .commands.up import start\nfrom .errors import Failed",
    "scripts/cli/commands/__init__.py": "",
    "scripts/cli/commands/up.py": (
        "from addons.config import Config\nfrom addons.launch import start\n"
        "from translate import decode\nfrom ..errors import Failed\nfrom ..setup import plan\n"
    ),
    "scripts/cli/errors.py": "",
    "scripts/cli/setup/__init__.py": "",
    "scripts/cli/setup/plan.py": "from .. import errors\nfrom .saving import save",
    "scripts/cli/setup/saving.py": "",
    "addons/relay.py": (
        "from addons import config, identity\n"
        "from addons.config import Config, settings\n"
        "import addons.identity\n"
        "config.Config, identity.anything\n"
        "class Relay:\n"
        "    config: Config\n"
        "    def load(self, config): return config.anything, [config for config in ()]\n"
    ),
}


def planted_tree(root: Path, files: Files) -> SourceTree:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return SourceTree(root)


@pytest.mark.parametrize(("rule", "files", "beginnings"), PLANTED)
def test_rule_names_each_violation(
    rule: str, files: Files, beginnings: list[str], tmp_path: Path
) -> None:
    violations = list(RULES[rule](planted_tree(tmp_path, files)))
    assert [
        violation[: len(beginning)]
        for violation, beginning in zip(violations, beginnings, strict=True)
    ] == beginnings


@pytest.mark.parametrize("rule", RULES)
def test_rule_allows_what_is_right(rule: str, tmp_path: Path) -> None:
    assert not list(RULES[rule](planted_tree(tmp_path, GOOD)))


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == RULES.keys()


def test_contributors_read_the_same_rows() -> None:
    page = (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
    diagram = page.partition("```text\ntranslate ")[2].partition("```")[0]
    for tree, text in zip(("translate", "addons"), diagram.split("\naddons "), strict=True):
        rows = [set(row.replace(",", " ").split()) for row in text.split("←")]
        first = ROWS[tree].index(rows[0])  # modules beside the packages are not on the page
        assert list(ROWS[tree][first : first + len(rows)]) == rows
