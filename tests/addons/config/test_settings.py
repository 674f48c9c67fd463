"""The table of settings, from which names, messages and the README are generated."""

import pytest

from addons.config.config_file import read_settings
from addons.config.settings import (
    ADVANCED_FIELDS,
    CONCEALED_FIELDS,
    DEPRECATED,
    FIELD_OF_OPTION,
    FIELD_OF_VARIABLE,
    FILE_FIELDS,
    SECRET_FIELDS,
    SETTING_FIELDS,
    SETTING_NAMES,
)


@pytest.mark.parametrize("name", SETTING_FIELDS)
def test_every_setting_has_a_description_and_a_valid_example(name: str) -> None:
    field = SETTING_FIELDS[name]
    assert field.description
    assert field.examples
    if name not in SECRET_FIELDS:
        assert read_settings({f"relay_{name}": field.examples[0]}, {})


def test_options_and_variables_name_the_same_settings() -> None:
    assert FIELD_OF_OPTION["relay_model_map"] == "model_map"
    assert FIELD_OF_VARIABLE["CODEX_RELAY_MODEL_MAP"] == "model_map"
    names = set(SETTING_NAMES)
    assert set(FIELD_OF_OPTION.values()) == set(FIELD_OF_VARIABLE.values()) == names
    assert names - FILE_FIELDS == {"config"}


def test_special_settings_exist() -> None:
    assert SETTING_FIELDS.keys() >= (ADVANCED_FIELDS | SECRET_FIELDS | CONCEALED_FIELDS)


def test_deprecated_settings_are_replaced_by_others() -> None:
    assert not DEPRECATED.keys() & SETTING_FIELDS.keys()
    for name, replacement in DEPRECATED.items():
        assert read_settings({f"relay_{name}": replacement.example}, {})
    assert {entry.setting for entry in DEPRECATED.values()} <= SETTING_FIELDS.keys()
