"""What an integration was given to connect with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from secoda_async.errors import CredentialError
from secoda_async.settings import Input


class Credentials(dict[str, Any]):
    """A dictionary whose missing names raise CredentialError (a KeyError) that says how to give them."""

    def __missing__(self, name: str) -> Any:
        raise missing(name, self)

    @override
    def __repr__(self) -> str:
        return f"Credentials({', '.join(self)})"

    def require(self, inputs: Mapping[str, Input]) -> None:
        """Raises CredentialError where a required input is absent or empty."""
        for name, given in inputs.items():
            if given.required and self.get(name) in (None, ""):
                raise missing(name, self)


def missing(name: str, given: Mapping[str, Any]) -> CredentialError:
    """The error for a credential that was not given."""
    known = f"; given were {', '.join(sorted(given))}" if given else ""
    return CredentialError(
        f"the credential {name!r} is missing{known}. Give it with --credential {name}=VALUE, "
        f"--credential-env {name}=VARIABLE, or credentials={{{name!r}: ...}}"
    )
