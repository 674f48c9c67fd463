"""Where the key of a request comes from, for messages about a key that an upstream refuses."""

from dataclasses import dataclass

KEY_STATUSES = frozenset({401, 403})  # with which upstreams refuse a key


@dataclass(frozen=True)
class KeyOrigin:
    """The place of a key, never the key itself."""

    name: str = ""  # of the variable, the option or the request with the key; "" if none is sent
    possible_places: tuple[str, ...] = ()  # the variables and options that may hold one

    def refusal(self, status: int) -> tuple[str, str]:
        """The sentence for an upstream that refuses the key with this status (401 or 403), and what
        the user can do."""
        if not self.name:
            return f"no key was sent ({status})", self.missing_key_step
        return f"the key was refused ({status})", f"check the key in {self.name}"

    def refusal_advice(self, status: int) -> str:
        """What to add to the upstream's own words, if it refuses a request with this status."""
        if not self.name:
            return f"no key was sent; {self.missing_key_step}"
        key = f"the key in {self.name}"
        return f"check that {key} may use this model" if status == 403 else f"check {key}"

    @property
    def missing_key_step(self) -> str:
        """What the user can do without a key."""
        if not self.possible_places:
            return "name the variable with its key as key_env in the provider's table of relay.toml"
        return f"set {' or '.join(self.possible_places)}"
