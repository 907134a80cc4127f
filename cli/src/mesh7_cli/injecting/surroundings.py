"""What the injector would know when a pod is made: settings, trust, Namespaces and ToolSources.

From the cluster with the person's rights, from files in place of what they name, or from files
alone.
"""

import base64
import binascii
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mesh7_cli import reading
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.kubectl import Kubectl, Object
from mesh7_cli.cluster.looking import Absent, Hidden, Look
from mesh7_cli.injecting.documents import Document, read
from mesh7_core import errors, names
from mesh7_core.injection import settings as injection_settings
from mesh7_core.injection import sources
from mesh7_core.injection.inject import Cluster, Namespace, Source
from mesh7_core.injection.outcomes import Level
from mesh7_core.injection.settings import Settings

ENABLED: Final = names.INJECTION_VALUES[0]
TRUST_KEY: Final = "key"
EXCHANGE_CERTIFICATE: Final = "mesh7-exchange-certificate"
AUTHORITIES: Final = "ca.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the person gives in place of what the cluster has.

    Attributes:
        level: asked for in every namespace, whatever its label says.
        documents: the manifests themselves; Namespaces and ToolSources among them count.
    """

    release_namespace: str = names.RELEASE_NAMESPACE
    settings: Path | None = None
    trust_key: str | None = None
    authorities: Path | None = None
    level: Level | None = None
    documents: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All of it, for every namespace that the manifests name.

    Attributes:
        notes: what was assumed, for people.
    """

    settings: Settings
    namespaces: Mapping[str, Namespace]
    clusters: Mapping[str, Cluster]
    notes: tuple[str, ...] = field(default=())


def from_files(given: Given, namespaces: Iterable[str]) -> Surroundings:
    """Without any cluster: Namespaces are enrolled unless a manifest says something else.

    Raises:
        SettingsError: settings or trust key are not given, or cannot be read.
    """
    if given.settings is None or given.trust_key is None:
        raise errors.SettingsError(
            "--offline: needs --settings and --trust-key – save both with "
            f"`kubectl get configmap {names.INJECTION_CONFIG_MAP} {names.TRUST_CONFIG_MAP} "
            f"-n {given.release_namespace} -o yaml`"
        )
    places = {}
    notes = []
    for name in namespaces:
        written = _namespace_among(given.documents, name)
        if written is None:
            notes.append(
                f"namespace `{name}` is taken as enrolled: {names.INJECTION_LABEL}=enabled"
            )
        labels = {names.INJECTION_LABEL: ENABLED} if written is None else {}
        places[name] = _at_level(_namespace(name, written or {}, labels), given.level)
    if places:
        notes.append(f"NetworkPolicy `{names.NETWORK_POLICY}` is taken as being there")
    return Surroundings(
        settings=_settings_in(given.settings),
        namespaces=places,
        clusters={
            name: Cluster(
                trust_key=given.trust_key,
                authorities=_file(given.authorities, "--authorities"),
                sources=_sources(name, (), given.documents),
                has_network_policy=True,
            )
            for name in places
        },
        notes=tuple(notes),
    )


def from_cluster(kubectl: Kubectl, given: Given, namespaces: Iterable[str]) -> Surroundings:
    """What the cluster has now, files in place of what they name.

    Raises:
        ClusterError: the person may not see what is needed, or it is not there.
        SettingsError: a file or a ConfigMap cannot be read.
    """
    wanted = tuple(dict.fromkeys(namespaces))
    found = looking.look_together(kubectl, _questions(given, wanted))
    notes: list[str] = []
    settings = _settings(found, given)
    authorities = "" if settings.exchange is None else _authorities(found, given, notes)
    trust_key = _trust_key(found, given)
    api_server = _api_server(found["api_server"], notes)
    places, clusters = {}, {}
    for name in wanted:
        place = _place(found[f"namespace/{name}"], name, given)
        places[name] = _at_level(place, given.level)
        there, policy = found[f"sources/{name}"], found[f"policy/{name}"]
        notes.extend(one.note for one in (there, policy) if isinstance(one, Hidden))
        clusters[name] = Cluster(
            trust_key=trust_key,
            authorities=authorities,
            api_server=api_server,
            sources=_sources(name, looking.items(there), given.documents),
            has_network_policy=bool(looking.value(policy)) or isinstance(policy, Hidden),
        )
    return Surroundings(
        settings=settings,
        namespaces=places,
        clusters=clusters,
        notes=tuple(dict.fromkeys(notes)),
    )


def _questions(given: Given, namespaces: Iterable[str]) -> dict[str, looking.Question]:
    release = f"--namespace={given.release_namespace}"
    found = {"api_server": looking.get("service", "kubernetes", "--namespace=default")}
    if given.settings is None:
        found["settings"] = looking.get("configmap", names.INJECTION_CONFIG_MAP, release)
    if given.trust_key is None:
        found["trust"] = looking.get("configmap", names.TRUST_CONFIG_MAP, release)
    if given.authorities is None:
        found["exchange"] = looking.secret_keys((EXCHANGE_CERTIFICATE,), (AUTHORITIES,), release)
        found["hooks"] = looking.get("mutatingwebhookconfiguration", names.WEBHOOKS)
    for name in namespaces:
        here = f"--namespace={name}"
        found[f"namespace/{name}"] = looking.get("namespace", name)
        found[f"sources/{name}"] = looking.listed(f"toolsources.{names.GROUP}", here)
        found[f"policy/{name}"] = looking.get(
            "networkpolicy", names.NETWORK_POLICY, "--ignore-not-found", here
        )
    return found


def _settings(found: Mapping[str, Look], given: Given) -> Settings:
    if given.settings is not None:
        return _settings_in(given.settings)
    name = names.INJECTION_CONFIG_MAP
    text = _needed(found["settings"], name, "--settings", injection_settings.KEY, given)
    return injection_settings.read(text)


def _trust_key(found: Mapping[str, Look], given: Given) -> str:
    if given.trust_key is not None:
        return given.trust_key
    return _needed(found["trust"], names.TRUST_CONFIG_MAP, "--trust-key", TRUST_KEY, given).strip()


def _needed(seen: Look, name: str, flag: str, key: str, given: Given) -> str:
    """A key of a ConfigMap of the release.

    Raises:
        ClusterError: it cannot be seen, or is not there.
    """
    where = f"ConfigMap `{name}` in namespace `{given.release_namespace}`"
    match seen:
        case Hidden(note=note):
            raise errors.ClusterError(f"{note}; or give {flag}")
        case Absent():
            raise errors.ClusterError(
                f"there is no {where} – name where mesh7 is installed with --release-namespace, "
                f"or give {flag}"
            )
        case _:
            text = reading.text(seen.value, "data", key)
    if not text:
        raise errors.ClusterError(f"{where} has no key `{key}` – see `kubectl mesh7 check`")
    return text


def _authorities(found: Mapping[str, Look], given: Given, notes: list[str]) -> str:
    """Those that the exchange's Secret has, as the injector reads it."""
    if given.authorities is not None:
        return _file(given.authorities, "--authorities")
    seen = found["exchange"]
    for secret in looking.items(seen):
        if text := _decoded(reading.text(secret, "data", AUTHORITIES)):
            return text
    where = f"`{AUTHORITIES}` of Secret `{EXCHANGE_CERTIFICATE}`"
    why = seen.note if isinstance(seen, Hidden) else f"there is no {where}"
    for hook in reading.objects(looking.value(found["hooks"]), "webhooks"):
        if text := _decoded(reading.text(hook, "clientConfig", "caBundle")):
            notes.append(
                f"{why}; the webhooks' authorities are taken for the exchange's, which with "
                "certificates of your own may be others – give them with --authorities"
            )
            return text
    notes.append(
        f"{why}; the exchange's authorities are not known here – give them with --authorities"
    )
    return ""


def _decoded(text: str) -> str:
    """Of base64; empty where it is none."""
    try:
        return base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _api_server(seen: Look, notes: list[str]) -> str:
    """What the kubelet tells pods of the release namespace."""
    if isinstance(seen, Hidden):
        notes.append(f"{seen.note}; sidecars get `KUBERNETES_SERVICE_HOST` when they are made")
    return reading.text(looking.value(seen), "spec", "clusterIP")


def _place(seen: Look, name: str, given: Given) -> Namespace:
    """The Namespace: what its manifest says goes before what the cluster has."""
    written = _namespace_among(given.documents, name)
    if written is not None:
        before = looking.value(seen)
        return _namespace(name, written, _texts(before, "labels"), _texts(before, "annotations"))
    match seen:
        case Hidden(note=note):
            raise errors.ClusterError(note)
        case Absent():
            raise errors.ClusterError(
                f"there is no namespace `{name}` – create it first, or put its manifest beside the "
                "others with -f"
            )
        case _:
            return _namespace(name, seen.value)


def _namespace(
    name: str,
    value: Object,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Namespace:
    return Namespace(
        name=name,
        labels={**(labels or {}), **_texts(value, "labels")},
        annotations={**(annotations or {}), **_texts(value, "annotations")},
    )


def _at_level(place: Namespace, level: Level | None) -> Namespace:
    if level is None:
        return place
    return dataclasses.replace(place, labels={**place.labels, names.ENFORCEMENT: level.value})


def _texts(value: Object, kind: str) -> dict[str, str]:
    return {key: str(text) for key, text in reading.one(value, "metadata", kind).items()}


def _namespace_among(documents: Iterable[Document], name: str) -> dict[str, object] | None:
    for value in _values(documents, "Namespace"):
        if reading.text(value, "metadata", "name") == name:
            return value
    return None


def _sources(
    namespace: str, there: Iterable[Object], documents: Iterable[Document]
) -> tuple[Source, ...]:
    """The cluster's, and those that come with the manifests in place of them."""
    written = [
        value
        for value in _values(documents, names.TOOL_SOURCE)
        if reading.text(value, "metadata", "namespace") in {"", namespace}
    ]
    found = {one.name: one for one in map(sources.read, [*there, *written]) if one is not None}
    return tuple(found[name] for name in sorted(found))


def _values(documents: Iterable[Document], kind: str) -> Iterable[dict[str, object]]:
    for document in documents:
        if isinstance(document.value, dict) and document.value.get("kind") == kind:
            yield document.value


def _settings_in(path: Path) -> Settings:
    """Of a file: the ConfigMap, a list that has it, or its one key."""
    text = _file(path, "--settings")
    for document in read(text, str(path)):
        values = [document.value] if isinstance(document.value, dict) else []
        for value in [*values, *(one for each in values for one in reading.objects(each, "items"))]:
            if kept := reading.text(value, "data", injection_settings.KEY):
                return injection_settings.read(kept)
    return injection_settings.read(text)


def _file(path: Path | None, flag: str) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(f"{flag} `{path}`: cannot be read as text") from error
