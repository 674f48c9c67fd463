"""The settings of the relay: their table, their sources and their values."""

from addons.config.addon import (
    Config,
    additional_ports,
    additional_providers,
    available_providers,
    concealed_values,
    current_settings,
    key_from_environment,
    update_options,
)
from addons.config.config_file import (
    ConfigFile,
    WrongSettings,
    config_path,
    default_path,
    read_settings,
)
from addons.config.limit_settings import (
    ExchangeLimits,
    LimitSettings,
    RequestLimits,
    translation_limits,
)
from addons.config.option_types import (
    REDIS_SCHEMES,
    STORE_OFF,
    AccountStrategy,
    ClientKey,
    StoreLimits,
    setting_text,
)
from addons.config.settings import OPTION_PREFIX, SETTING_NAMES, VARIABLE_PREFIX, Settings

__all__ = [
    "AccountStrategy",
    "ClientKey",
    "Config",
    "ConfigFile",
    "ExchangeLimits",
    "LimitSettings",
    "OPTION_PREFIX",
    "REDIS_SCHEMES",
    "RequestLimits",
    "SETTING_NAMES",
    "STORE_OFF",
    "Settings",
    "StoreLimits",
    "VARIABLE_PREFIX",
    "WrongSettings",
    "additional_ports",
    "additional_providers",
    "available_providers",
    "concealed_values",
    "config_path",
    "current_settings",
    "default_path",
    "key_from_environment",
    "read_settings",
    "setting_text",
    "translation_limits",
    "update_options",
]
