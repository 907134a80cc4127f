"""A release's settings of injection, read strictly."""

import pytest

from mesh7_core import errors
from mesh7_core.injection import settings
from mesh7_core.injection.outcomes import Level
from mesh7_core.injection.settings import Exchange, Resources, Settings

LEAST = """
apiVersion: mesh7.dev/v1alpha1
kind: Injection
image: registry.example/sidecar:1
"""


def test_what_is_not_written_has_its_default() -> None:
    assert settings.read(LEAST) == Settings(image="registry.example/sidecar:1")


def test_everything_that_can_be_written_is_read() -> None:
    found = settings.read(
        LEAST
        + """
pullPolicy: Always
releaseNamespace: guards
user: 20007
defaultLevel: Guarded
mayOptOut: true
exchange: {url: "https://mesh7-exchange.guards.svc:8443", isRedisEncrypted: false}
collectorAuthorities: "-----BEGIN CERTIFICATE-----\\nAQID\\n-----END CERTIFICATE-----"
resources: {cpuRequest: "0.1", memoryRequest: 100Mi, memoryLimit: 1Gi}
variables: {MESH7_HOLD: 30s, MESH7_DIALLED: "169.254.0.0/16"}
"""
    )

    assert found == Settings(
        image="registry.example/sidecar:1",
        pull_policy="Always",
        release_namespace="guards",
        user=20007,
        default_level=Level.GUARDED,
        may_opt_out=True,
        exchange=Exchange(url="https://mesh7-exchange.guards.svc:8443", is_redis_encrypted=False),
        collector_authorities="-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----",
        resources=Resources(cpu_request="0.1", memory_request="100Mi", memory_limit="1Gi"),
        variables={"MESH7_HOLD": "30s", "MESH7_DIALLED": "169.254.0.0/16"},
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("user: 0", "`user`: `0` is too small, the least is 1"),
        ("user: '77007'", "`user`: `77007` is not a whole number"),
        ("mayOptOut: 'no'", "`mayOptOut`: `no` is not `true` or `false`"),
        ("defaultLevel: enforced", "unknown value `enforced`, did you mean `Enforced`?"),
        ("pullPolicy: always", "unknown value `always`, did you mean `Always`?"),
        ("defaultEnforcement: Guarded", "unknown key `defaultEnforcement`"),
        ("releaseNamespace: Mesh7", "`releaseNamespace`: `Mesh7` is not"),
        ("exchange: {url: 'http://x', isRedisEncrypted: true}", "`exchange.url`: `http://x` is no"),
        ("exchange: {url: 'https://x/y', isRedisEncrypted: true}", "is no `https://HOST`"),
        ("exchange: {url: 'https://x'}", "`isRedisEncrypted` is missing, add it"),
        ("resources: {cpuRequest: 50}", "`resources.cpuRequest`: `50` is not text"),
        ("resources: {cpuRequest: 50Mi}", "`50Mi` is no share of a CPU"),
        ("resources: {cpuRequest: 0m}", "`0m` is no share of a CPU"),
        ("resources: {memoryLimit: 1Mi}", "`1Mi` is too little memory"),
        ("resources: {memoryLimit: 64Mi}", "`memoryRequest` is more than `memoryLimit`"),
        ("variables: {HOLD: 30s}", "variable `HOLD` does not begin with `MESH7_` or `OTEL_`"),
        ("variables: {MESH7_URL: x}", "variable `MESH7_URL` is set by injection itself"),
        ("variables: {MESH7_LISTEN: '0.0.0.0:7007'}", "`MESH7_LISTEN` is set by injection"),
        ("variables: {MESH7_HOLD: 30}", "`variables.MESH7_HOLD`: `30` is not text"),
        ('variables: {MESH7_HOLD: "3\\n0"}', "variable `MESH7_HOLD` is no single line"),
        ("variables: {MESH7_FIRST_BUNDLE: soon}", "`soon` is no duration"),
        ("variables: {MESH7_FIRST_BUNDLE: 1h}", "is longer than 5m, shorten it"),
        ("collectorAuthorities: ca.pem", "holds no certificate in PEM"),
        ("collectorAuthorities: '-----BEGIN CERTIFICATE-----'", "or one of them is cut"),
        ("variables: {MESH7_COLLECTOR_AUTHORITIES: x}", "is set by injection itself"),
        ("image: other", "injection.yaml:5: key `image` stands twice"),
        ("variables:", "`variables`: has no value"),
        (
            "exchange: {url: 'https://x', isRedisEncrypted: true}\nvariables: {MESH7_REDIS_URL: x}",
            "`exchange` and variable `MESH7_REDIS_URL` are two stores, remove one",
        ),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(more: str, told: str) -> None:
    with pytest.raises(errors.SettingsError) as refused:
        settings.read(LEAST + more)

    assert told in refused.value.message
    assert refused.value.message.startswith("injection.yaml:")


@pytest.mark.parametrize("image", ["''", "'a b'", "7", "", '"a\\tb"'])
def test_an_image_is_one_word(image: str) -> None:
    with pytest.raises(errors.SettingsError, match="image"):
        settings.read(LEAST.replace("registry.example/sidecar:1", image))


@pytest.mark.parametrize(
    "text", ["", "# nothing", "[]", f"{LEAST}---{LEAST}", "image", "a: [", "\t"]
)
def test_a_text_that_is_no_single_document_is_refused(text: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"^injection\.yaml:"):
        settings.read(text)


def test_a_document_of_another_kind_is_refused() -> None:
    with pytest.raises(errors.SettingsError, match=r"`kind`: unknown value `ConfigMap`"):
        settings.read(LEAST.replace("Injection", "ConfigMap"))
