"""The user's folders, and those of the former name."""

import sys
from pathlib import Path

import pytest

from addons.user_folders import FORMER_NAME, NAME, config_folder, data_folder, state_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the variables are XDG's")

FOLDERS = {
    "XDG_CONFIG_HOME": config_folder,
    "XDG_DATA_HOME": data_folder,
    "XDG_STATE_HOME": state_folder,
}


@pytest.mark.parametrize("variable", FOLDERS)
@pytest.mark.parametrize(
    ("existing", "expected"),
    [([], NAME), ([NAME], NAME), ([FORMER_NAME], FORMER_NAME), ([NAME, FORMER_NAME], NAME)],
)
def test_folder_of_the_former_name_is_used_where_it_is_the_only_one(
    variable: str,
    existing: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    for name in existing:
        (tmp_path / name).mkdir()
    assert FOLDERS[variable]() == tmp_path / expected
