import tomllib
from pathlib import Path

import pytest

from scripts.cli.launcher.folder_trust import (
    add_trust,
    is_decided,
    trust_folder,
    working_folder,
)

FOLDER = Path("/home/me/a project.d")


@pytest.mark.parametrize(
    ("arguments", "config", "decided"),
    [
        ([], "", False),
        (["-m", "a-model", "resume", "--last"], 'model = "b"', False),
        (["-s", "read-only"], "", True),
        (["--sandbox=read-only"], "", True),
        (["-c", "model=sandbox_mode"], "", False),
        (["-c", "sandbox_mode=read-only"], "", True),
        (["--config=approval_policy=never"], "", True),
        ([], 'approval_policy = "never"', True),
        ([], f'[projects."{FOLDER}"]\ntrust_level = "untrusted"', True),
        ([], '[projects."/home/me"]\ntrust_level = "trusted"', False),
    ],
)
def test_who_has_decided_is_not_asked(arguments: list[str], config: str, decided: bool) -> None:
    assert is_decided(arguments, tomllib.loads(config), FOLDER) is decided


@pytest.mark.parametrize(
    "text",
    ["", '# mine\nmodel = "a"\n[tui]\nx = 1\n', '[projects."/other"]\ntrust_level = "trusted"\n'],
)
def test_trust_is_added_and_nothing_else_changes(text: str) -> None:
    trusting = add_trust(text, FOLDER)
    assert trusting.startswith(text)
    expected = tomllib.loads(text)
    expected.setdefault("projects", {})[str(FOLDER)] = {"trust_level": "trusted"}
    assert tomllib.loads(trusting) == expected


def test_the_folder_is_that_of_the_repository(tmp_path: Path) -> None:
    inner, tree = tmp_path / "main" / "src", tmp_path / "tree"
    for path in (inner, tree, tmp_path / "main" / ".git" / "worktrees" / "tree"):
        path.mkdir(parents=True)
    assert trust_folder(tree) == tree
    (tree / ".git").write_text(f"gitdir: {tmp_path}/main/.git/worktrees/tree\n")
    assert trust_folder(tree) == trust_folder(inner) == tmp_path / "main"
    assert working_folder(["-C", str(inner), "hi"]) == inner
    assert working_folder([f"--cd={inner}"]) == inner
    assert working_folder(["hi"]) == Path.cwd()
