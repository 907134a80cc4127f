"""What stands in a release's ConfigMap `mesh7-injection`, before it means anything.

Pure: no clock, no network, no logging.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from mesh7_core import errors, names
from mesh7_core.api import manifests, reading
from mesh7_core.api.objects import Model, NamespaceName
from mesh7_core.api.places import Problem, shown
from mesh7_core.api.quantities import parse_duration
from mesh7_core.delivery import authorities
from mesh7_core.injection import quantities, variables
from mesh7_core.injection.outcomes import Level

_IMAGE: Final = re.compile(r"[\x21-\x7e]{1,512}")
_EXCHANGE: Final = re.compile(r"https://[a-z0-9.-]{1,253}(:[1-9][0-9]{0,4})?")
_VARIABLE: Final = re.compile(r"(MESH7|OTEL)_[A-Z0-9_]{1,100}")
_LEAST_USER: Final = 1
_MOST_USER: Final = 2**31 - 1
_LONGEST_VALUE: Final = 4096


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise ValueError(f"{shown(text)} is no image, write one with its tag or digest")
    return text


def _url(text: str) -> str:
    if not _EXCHANGE.fullmatch(text):
        raise ValueError(f"{shown(text)} is no `https://HOST` or `https://HOST:PORT`, write one")
    return text


def _cpu(text: str) -> str:
    quantities.parse_cpu(text)
    return text


def _memory(text: str) -> str:
    quantities.parse_memory(text)
    return text


def _authorities(text: str) -> str:
    # As it is written: the release's admission policy compares it, letter by letter.
    try:
        found = authorities.read(text)
    except errors.BundleError as error:
        raise ValueError(f"{error.message}, write eight certificates in PEM at most") from error
    if not found:
        raise ValueError("holds no certificate in PEM, write one or leave it away")
    return text


def _variables(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(
                f"variable {shown(name)} does not begin with `MESH7_` or `OTEL_`, rename it"
            )
        if name in variables.RESERVED:
            raise ValueError(f"variable `{name}` is set by injection itself, remove it")
        if len(value) > _LONGEST_VALUE or not value.isprintable():
            raise ValueError(
                f"variable `{name}` is no single line of {_LONGEST_VALUE} characters, shorten it"
            )
    first = given.get(variables.FIRST_BUNDLE)
    if first is not None and parse_duration(first) > variables.LONGEST_FIRST_BUNDLE:
        raise ValueError(f"variable `{variables.FIRST_BUNDLE}` is longer than 5m, shorten it")
    return given


Cpu = Annotated[str, AfterValidator(_cpu)]
Memory = Annotated[str, AfterValidator(_memory)]


class Exchange(Model):
    """`exchange`."""

    url: Annotated[str, AfterValidator(_url)]
    is_redis_encrypted: bool


class Resources(Model):
    """`resources`."""

    cpu_request: Cpu = "50m"
    memory_request: Memory = "96Mi"
    memory_limit: Memory = "256Mi"

    @model_validator(mode="after")
    def _fits(self) -> "Resources":
        request = quantities.parse_memory(self.memory_request)
        if request > quantities.parse_memory(self.memory_limit):
            raise ValueError("`memoryRequest` is more than `memoryLimit`, lower it")
        return self


class Injection(Model):
    """The document."""

    api_version: Literal["mesh7.dev/v1alpha1"]
    kind: Literal["Injection"]
    image: Annotated[str, AfterValidator(_image)]
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    release_namespace: NamespaceName = names.RELEASE_NAMESPACE
    user: int = Field(77007, ge=_LEAST_USER, le=_MOST_USER)
    default_level: Literal["Cooperative", "Guarded", "Enforced"] = Level.COOPERATIVE.value
    may_opt_out: bool = False
    exchange: Exchange | None = None
    collector_authorities: Annotated[str, AfterValidator(_authorities)] = ""
    resources: Resources = Resources()
    variables: Annotated[dict[str, str], AfterValidator(_variables)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_store(self) -> "Injection":
        if self.exchange is not None and variables.REDIS_URL in self.variables:
            raise ValueError(
                f"`exchange` and variable `{variables.REDIS_URL}` are two stores, remove one"
            )
        return self


def injection(file: str, text: str) -> Injection:
    """The document of a text that must hold it alone.

    Args:
        file: what messages call it.

    Raises:
        SettingsError: the text is something else; each mistake is told with its place.
    """
    try:
        documents = [one for one in reading.read(text) if one.value is not None]
    except reading.Unreadable as error:
        raise errors.SettingsError(f"{file}:{error.line}: {error.message}") from error
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise errors.SettingsError(f"{file}: holds no single mapping, write `kind: Injection`")
    value, place = documents[0].value, documents[0].place
    document = manifests.Document(file=file, kind="Injection", value=value, place=place)
    found = manifests.validate(document, Injection, value)
    if isinstance(found, Injection):
        return found
    raise errors.SettingsError("; ".join(_told(one) for one in found))


def _told(problem: Problem) -> str:
    path = f"`{problem.path}`: " if problem.path else ""
    return f"{problem.file}:{problem.line}: {path}{problem.message}"
