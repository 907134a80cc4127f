"""Who asks and who answers, with a real controller, a real Redis and the chart's admission.

The sidecar is a stand-in: it opens requests as its namespace's user, with the digests that a real
one would make of the bundle that was delivered.
"""

import asyncio
import base64
import contextlib
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml

from e2e.api import approvals, controllers, installed
from e2e.api.approvals import Court
from e2e.api.controllers import RELEASE, Controller, Delivered
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.compiling import delivered
from mesh7_core.delivery import decisions, envelopes, keys, payloads
from mesh7_core.ledger.asked import Request, State
from mesh7_core.ledger.protocol import Caps, Lost, Opened
from mesh7_core.ledger.redis import RedisLedger
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_core.policy.bundle import Bundle
from mesh7_core.policy.destination import destination
from mesh7_operator.store import passwords
from tests.operator.approving import worlds
from tests.peers import redis_servers

PATIENCE_S = 60.0
CAPS = Caps(per_pod=50, per_namespace=200)
_Answer = TypeVar("_Answer")
_POLICY = """
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: payments}
spec:
  selector: {}
  rules:
  - name: big
    tools: [wire.send]
    action: RequireApproval
    reason: money leaves
    approval: {groups: [finance], timeout: 30m, useWithin: 10m}
  - name: all
    tools: [wire.all]
    action: RequireApproval
    approval: {groups: [finance], count: 2, timeout: 30m, useWithin: 10m}
---
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {name: wire}
spec: {mcp: {url: "https://wire.example/live"}}
"""
_POD = """
apiVersion: v1
kind: Pod
metadata: {name: support-0}
spec:
  containers: [{name: agent, image: agent.example/agent}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A court with a Redis; controllers come and go."""

    court: Court
    redis: redis_servers.Server
    folder: Path

    @contextlib.contextmanager
    def controlling(self, name: str) -> Iterator[Controller]:
        """A controller with its account's rights, and no others."""
        kubeconfig = installed.account(self.court.cluster, "mesh7-controller", self.folder)
        log = self.folder / f"{name}-{secrets.token_hex(3)}.log"
        flags = (f"--redis=redis://127.0.0.1:{self.redis.port}",)
        controller = Controller(kubeconfig, log, flags)
        try:
            yield controller
        finally:
            if controller.process.poll() is None:
                controller.end()

    def shop(self, controller: Controller) -> "Shop":
        """An enrolled namespace whose policy asks finance, and a pod in it."""
        cluster = self.court.cluster
        # Its pod has no sidecar: the test is that.
        name = cluster.new_namespace("pay", {names.INJECTION_LABEL: "on-request"})
        until(lambda: not approvals.said(
            cluster.kubectl, "apply", "-n", name, "-f", "-", stdin=_POLICY
        ), "the policy is stored", timeout_s=PATIENCE_S)  # fmt: skip
        shop = Shop(scene=self, name=name)
        controller.until(lambda: shop.bundle() is not None, "it is delivered", PATIENCE_S)
        controller.until(shop.has_user, "its users are there", PATIENCE_S)
        cluster.apply(_POD, name)
        return shop


@dataclass(slots=True, kw_only=True)
class Shop:
    """One namespace."""

    scene: Scene
    name: str
    _numbers: list[int] = field(default_factory=lambda: [0])

    @property
    def kubectl(self) -> Kubectl:
        return self.scene.court.cluster.kubectl

    def bundle(self) -> Bundle | None:
        """As sidecars compile it; None before all of it is delivered."""
        opened = Delivered(self.scene.court.cluster, self.name).opened()
        if opened is None:
            return None
        found = delivered.compile_bundle(payloads.read_bundle(opened.payload))
        is_whole = f"{self.name}/payments" in {one.id for one in found.policies}
        return found if is_whole and "wire" in found.sources else None

    def has_user(self) -> bool:
        """Whether Redis lets its sidecars in."""
        user = passwords.user_name(self._owner())
        listed = self.scene.redis.tell("ACL", "USERS")
        return isinstance(listed, list) and user.encode() in listed

    def pod_uid(self) -> str:
        """The pod's."""
        return str(self.kubectl.json("get", "pod", "support-0", "-n", self.name)["metadata"]["uid"])

    def opens(self, rule: str = "big", tool: str = "wire.send") -> Request:
        """The pod asks."""
        asked = self._asked(rule, tool)
        # Whoever opens twice joins.
        opened = self.answered(lambda ledger: ledger.open(asked, CAPS))
        assert opened == Opened(asked.id), opened
        return asked

    def _asked(self, rule: str, tool: str) -> Request:
        bundle = self.bundle()
        assert bundle is not None
        known = {one.id: one for one in bundle.policies}
        source = destination(bundle.sources["wire"])
        self._numbers[0] += 1
        plain = worlds.request(
            int.from_bytes(secrets.token_bytes(6), "big"),
            tool=tool,
            rules=(f"{self.name}/payments/{rule}",),
            arguments={"arguments": {"amount": self._numbers[0]}},
            known=known,
            agent=f"{self.name}/default",
            pod="support-0",
            uid=self.pod_uid(),
            source_host=source.host,
            source=source.digest,
        )
        return worlds.digested(plain, known)

    def read(self, asked: Request) -> Request | None:
        """As the sidecar reads it now."""
        found = self.with_ledger(lambda ledger: ledger.request(asked.id))
        return found if isinstance(found, Request) else None

    def until_state(self, asked: Request, state: State) -> Request:
        """Wait until the sidecar reads this."""
        found: list[Request] = []

        def has_come() -> bool:
            read = self.read(asked)
            if read is not None and read.state is state:
                found.append(read)
            return bool(found)

        until(has_come, f"request {asked.id} is {state}", timeout_s=PATIENCE_S)
        return found[0]

    def with_ledger(self, ask: Callable[[RedisLedger], Awaitable[_Answer]]) -> _Answer:
        """As its sidecars reach it."""

        async def asked() -> _Answer:
            ledger = RedisLedger(self.server(), self.name, load=False)
            await ledger.start()
            try:
                return await ask(ledger)
            finally:
                await ledger.close()

        return asyncio.run(asked())

    def answered(self, ask: Callable[[RedisLedger], Awaitable[_Answer | Lost]]) -> _Answer:
        """The same, once Redis answers in time; what was lost before may have been done."""
        found: list[_Answer] = []

        def has_come() -> bool:
            answer = self.with_ledger(ask)
            if not isinstance(answer, Lost):
                found.append(answer)
            return bool(found)

        until(has_come, "redis answers a sidecar", timeout_s=PATIENCE_S)
        return found[0]

    def server(self) -> RedisServer:
        """Redis, and who its sidecars are there."""
        secret = self.kubectl.json("get", "secret", "mesh7-redis-master", "-n", RELEASE)
        master = base64.b64decode(secret["data"]["master"])
        return RedisServer(
            host="127.0.0.1",
            port=self.scene.redis.port,
            user=passwords.user_name(self._owner()),
            password=passwords.password(master, self._owner()),
        )

    def _owner(self) -> passwords.Owner:
        return passwords.Owner(self.name, passwords.generation_of(datetime.now(UTC)))

    def mirror(self, asked: Request) -> dict[str, Any]:
        """Its ApprovalRequest; empty when there is none."""
        try:
            return self.kubectl.json("get", "approvalrequest", asked.id, "-n", self.name)
        except KubectlError as error:
            if "NotFound" in error.stderr:
                return {}
            raise

    def until_mirrored(self, asked: Request, state: str = "Pending") -> dict[str, Any]:
        """Wait until people see this."""
        until(
            lambda: self.mirror(asked).get("status", {}).get("state") == state,
            f"{asked.id} is shown as {state}",
            timeout_s=PATIENCE_S,
        )
        return self.mirror(asked)

    def person(self, user: str, *groups: str) -> Kubectl:
        """Somebody who may approve here, by role."""
        return self.scene.court.person(
            user, "mesh7-approver", namespace=self.name, groups=groups or ("hr",)
        )

    def answer(self, person: Kubectl, mirror: dict[str, Any], effect: str = "Allow") -> str:
        """Somebody says what they say; the name of their Grant."""
        grant = approvals.answer(
            self.name,
            mirror["metadata"]["name"],
            mirror["metadata"]["uid"],
            effect=effect,
            subject={"pod": mirror["spec"]["pod"]["name"]},
            digest=mirror["spec"]["digest"],
            policyRef={"namespace": self.name, "name": "payments"},
        )
        made = person.json("create", "-f", "-", stdin=yaml.safe_dump(grant))
        return str(made["metadata"]["name"])

    def until_heard(self, grant: str, *phases: str) -> str:
        """Wait until a Grant's status says one of these; its message."""
        found: dict[str, Any] = {}

        def has_come() -> bool:
            one = self.kubectl.json("get", "grant", grant, "-n", self.name)
            found.update(one.get("status", {}))
            return found.get("phase") in phases

        until(has_come, f"grant {grant} is {' or '.join(phases)}", timeout_s=PATIENCE_S)
        return str(found["conditions"][0]["message"])

    def decision(self, asked: Request) -> decisions.Decision | None:
        """What lies in Redis, if a sidecar of today believes it."""
        written = self.scene.redis.tell("GET", f"m7b:{{{self.name}}}:v:{asked.id}")
        if not isinstance(written, bytes):
            return None
        root = base64.b64decode(controllers.operator(self.scene.court.cluster, "keys", "show"))
        bundle = Delivered(self.scene.court.cluster, self.name).envelope()
        header = envelopes.read_header(bundle or b"")
        assert not isinstance(header, envelopes.Refused)
        found = decisions.unseal(written, keys.reachable(root, header.links))
        return found if isinstance(found, decisions.Decision) else None


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Scene]:
    """All of it but a controller."""
    program = redis_servers.programs()["valkey"]
    with (
        approvals.sitting(folder) as court,
        redis_servers.running(program, folder / "redis") as redis,
    ):
        yield Scene(court=court, redis=redis, folder=folder)


def stopped(controller: Controller) -> None:
    """It does nothing more, and does not know it."""
    controller.process.send_signal(signal.SIGSTOP)
