"""What was given as option, variable or line of relay.toml → `Settings`, or complaints."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError as Invalid

from addons.config.config_file import File, Wrong
from addons.config.settings import FIELDS, OPTIONS, SECRETS, VARIABLES, Settings


def read(
    options: Mapping[str, str | None], environment: Mapping[str, str], file: File | None = None
) -> Settings:
    """Option before variable before file before default; all by their full names. Raises Wrong."""
    file = file or File.none()
    given: dict[str, Any] = dict(file.options)
    origin = {field: f"{file.place(field)}: {field}" for field in given}
    for names, source in ((VARIABLES, environment), (OPTIONS, options)):
        for name, field in names.items():
            if (text := source.get(name)) is not None:
                given[field], origin[field] = text.strip(), name
    try:
        return Settings.model_validate(
            {field: value for field, value in given.items() if value != ""}, context=file.providers
        )
    except Invalid as error:
        faults = {str(fault["loc"][0]): fault["msg"] for fault in reversed(error.errors())}
        raise Wrong(
            *(complaint(field, origin[field], given[field], why) for field, why in faults.items())
        ) from None


def complaint(field: str, name: str, value: Any, why: str) -> str:
    shown = "(hidden)" if field in SECRETS else re.sub(r"//[^/]*@", "//(hidden)@", repr(value))
    why = re.sub(r"^(Value error, |Input )", "", why)
    said = name.rpartition(" ")[2]
    return f"{name} is {shown}: {why}; for example {said}={FIELDS[field].examples[0]}"  # type: ignore[index]  # every field has one, a test sees to it
