"""TOML texts."""

from scripts.cli.toml_texts import read_toml


def test_text_that_is_no_toml_has_no_data() -> None:
    assert read_toml("a = 1\n") == {"a": 1}
    assert read_toml("a = \n") is None
