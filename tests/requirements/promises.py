"""What mesh7 promises so far: ids that never change, a sentence each, and where it was promised.

A test says which promise it keeps by `@pytest.mark.promise("P3")`; test_promises.py holds both
sides together. P policy, M MCP, S sources, C hands; X are rows of our attack table (THREAT_MODEL.md
says who attacks); K Kubernetes; D and AG are defects that predecessors showed when we tried them,
never to be repeated.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise.

    Attributes:
        says: a sentence that a test can show to be false.
        source: the page or issue that made it.
    """

    says: str
    source: str


_ISSUE = "issue 3, The gateway on a laptop"
_OPERATOR = "issue 5, The operator"
_INJECTION = "issue 6, Injection and delivery"
_APPROVALS = "issue 7, Approvals through Kubernetes"
_SEEING = "issue 8, Seeing"
_ATTACKS = "THREAT_MODEL.md, attack table"
_DEFECTS = "defects reproduced in a predecessor"
_DESIGN = "the design's list of promises"


def _table(source: str, rows: dict[str, str]) -> dict[str, Promise]:
    return {identifier: Promise(says, source) for identifier, says in rows.items()}


PROMISES: dict[str, Promise] = {
    **_table(
        _DESIGN,
        {
            "P1": "one judge: a case gets the same decision over every transport and offline",
            "P2": "no policy, match or bundle, unknown action: denied, each with its reason",
            "P3": "first match in a policy; across them the strictest; order is irrelevant",
            "P4": "nothing in a namespace makes a decision weaker than the baseline's verdict",
            "P5": "a failing `when` never allows and never turns a Deny into a question",
            "P6": "what is misspelt, unknown, dead or does not compile is refused with its place",
            "P7": "a glob's `*` crosses dots in the tool part only; a malformed one is an error",
            "P8": "audit mode takes no part in the enforced verdict and records the would-be one",
            "P9": "explain says rung by rung why, and agrees with decide",
            "P10": "adding a Deny rule never turns a denial into anything weaker",
            "P11": "the price of a look-up does not grow with the number of rules",
            "P12": "policy cases run offline; a mismatch, or no case at all, exits 1",
            "M1": "the conformance suite gives the same result through mesh7 as without it",
            "M2": "lists show what the agent may call; order, cursors and cache hints stay right",
            "M3": "a denied call is an isError result: text for models, _meta for machines",
            "M4": "bytes pass unchanged when nothing had to change",
            "M5": "server requests, progress, cancellation and streams pass or are policed",
            "M6": "resources and prompts obey policy; an unknown method executes nothing",
            "M7": "one upstream session a client session; another's session id is unknown",
            "M8": "a stdio server has a fixed argv, a clean environment, and may crash",
            "M9": "over stdio calls run concurrently; one that waits blocks no other",
            "M10": "popular MCP clients work through mesh7 unmodified",
            "M12": "names of several sources never collide silently; look-alikes are refused",
            "S1": "MCP servers are reached over Streamable HTTP and stdio",
            "S2": "plain HTTP APIs are reached by a judged reverse proxy",
            "S5": "a source's status, errors and non-JSON bodies reach the agent as what they are",
            "S6": "credentials stay in the gateway and are shown nowhere",
            "S7": "redirects are not followed and a source is dialled only where it says",
            "S9": "each source has its own bounds; a slow one slows no other",
            "M11": "a tool whose definition is not the accepted one is hidden and refused, or told",
            "L1": "exactly `max` calls pass in any window, however many gateways race",
            "L2": "a loop is found through whatever else is called in between",
            "L3": "held calls count against limits, refused ones do not",
            "L4": "limits count per pod, agent, session or namespace",
            "L5": "a changed limit holds from the next call",
            "L6": "when the store of limits is away, each limit says what that means",
            "L7": "limits, loops, approvals and grants are the same on every transport",
            "L8": "counts survive restart and fail-over; nothing grows with the number of calls",
            "A1": "an approval is for one exact call; anything changed asks again",
            "A2": "an approved call runs at most once, even when the ledger forgets",
            "A3": "whoever is held gets an answer it understands, in its own patience",
            "A4": "repeating a held call joins its request; a restart loses no pending one",
            "A5": "who asks cannot approve; ids are whole, never prefixes or empty",
            "A6": "requests expire by the store's clock; a late approval is refused and told why",
            "A7": "when the caller is gone nothing runs; racing repeats get the one result",
            "A8": "pending requests are capped; nobody can flood the approver",
            "A9": "grants are bounded, expire by the clock, count uses, and never beat a Deny",
            "A10": "after a veto or kill the next call is refused within 1 s, on every replica",
            "A11": "the approver sees the exact arguments, and nothing can move the cursor",
            "C1": "two commands on a fresh machine: `make run` and `make test`",
            "C2": "run, stdio, status, tools, call, check, test and explain do what they say",
            "C4": "every error says what, where and what to do; no traceback reaches a user",
            "C5": "every field, reason and exit code is documented; documented examples run",
        },
    ),
    **_table(
        _ATTACKS,
        {
            "X1": "headers that disagree with the body never steer a decision",
            "X2": "a header that may come once and comes twice is refused",
            "X3": "an encoded header value is decoded in its one canonical form or taken literally",
            "X4": "duplicate JSON keys are refused anywhere in a body",
            "X5": "numbers that overflow, endless digits and deep nesting are refused as 400",
            "X6": "only strict UTF-8 without BOM and lone surrogates is read as JSON",
            "X7": "JSON-RPC batches are refused, so nothing rides along unjudged",
            "X8": "an envelope that is nearly right is refused",
            "X9": "ambiguous HTTP framing is refused; hop-by-hop headers never travel",
            "X10": "a compressed request is refused and a response cannot swell without bound",
            "X11": "sizes, deadlines and connection counts are bounded in each phase",
            "X12": "a path has one spelling; every other one is not found",
            "X13": "a web page in a browser on the same machine cannot make a call",
            "X15": "the agent's own Authorization never reaches another origin",
            "X16": "somebody else's session id is as unknown as an invented one",
            "X20": "two sources with one name and look-alike tool names are refused",
            "X21": "a tool that was filtered or never listed cannot be called",
            "X29": "a call that may have run is never sent a second time",
            "X26": "a stdio server's command, environment and output are bounded by the gateway",
        },
    ),
    **_table(
        _DEFECTS,
        {
            "D1": "an approved call runs once, whoever resolves it and whoever waits",
            "D4": "limits, loops and grants hold on the MCP path as on every other",
            "D5": "an approved call runs when it is repeated, and no new request is opened",
            "D10": "reaching the agent's port, or loopback, gives no right to approve",
            "D11": "an empty or shortened id resolves nothing",
            "D25": "a lifetime total never forgets, however idle",
            "D26": "counting is one step; pending calls count; interleaving hides no loop",
            "D27": "identical pending calls share one request",
            "D28": "no earlier decision approves a later call by itself",
            "D35": "requests, sessions, grants and counts are bounded and pruned",
            "D36": "the price of a listing or a count does not grow with what was done before",
            "D40": "a pending request outlives a restart, with its trace id",
            "D41": "when the caller is gone an approved call does not run",
            "D42": "a grant needs a bounded time and a reason, and is revoked by its whole name",
            "D2": "an unknown or missing action is refused when loaded, and is never an allow",
            "D3": "a documented condition matches what the documentation says it matches",
            "D6": "what is judged by name is what runs",
            "D12": "a server that crashes in a loop takes nothing else down",
            "D13": "a server's request is never taken for the answer to a call with the same id",
            "D14": "a source that fails at the start is retried, and never ready with no tools",
            "D22": "a malformed glob in a deny rule is an error, never a silent non-match",
            "D23": "an unknown YAML key is an error, never an unconditional allow",
            "D30": "results pass as they are: isError, structuredContent and images included",
            "D31": "lists keep order, pages and every field of a tool",
            "D32": "cancellations are never answered; a blank line is no parse error",
            "D33": "both eras of the protocol are spoken, with origin and version checked",
            "D34": "over stdio a waiting call stops neither pings nor other calls",
            "D39": "SIGTERM lets calls in flight finish, for up to 10 s",
            "AG4": "a notification that carries a request's method executes nothing",
            "AG5": "an approval is bound to every argument, cost and nested value",
            "AG6": "an agent cannot approve itself by what it can reach or knows",
            "AG14": "an approved retry is recognised and runs",
            "AG15": "two rules that ask are satisfied by one request, never in a circle",
            "AG16": "an approved call's outcome is recorded; a failed one says so",
            "AG23": "made-up calls cannot fill the queue of requests for others",
            "AG24": "a lowered limit counts at once; no boundary lets twice the limit pass",
            "AG25": "gateways on one ledger spend one approval and one count, not one each",
            "AG26": "sessions do not merge budgets, and a made-up one does not reset the pod's",
            "AG17": "numbers and ids are never re-encoded through a float",
            "AG18": "a server's request never ends a call that happens to have its id",
        },
    ),
    **_table(
        _OPERATOR,
        {
            "K1": "CEL and webhook on a real API server refuse what the compiler would, by field",
            "K2": "kubectl explain, columns, short names, categories, server-side apply keys work",
            "K3": "status has conditions with reasons, observedGeneration and N of M sidecars",
            "K4": "a changed policy is enforced in a second by push, in two minutes without Redis",
            "K8": "operator and Redis down: the last bundle decides; another leader takes over",
            "K9": "a tampered bundle or entry in Redis is ignored, counted and repaired",
            "K10": "the operator's rights are the least that it works with, held to a list",
            "K12": "2,000 policies in 500 namespaces converge within bounds of time and memory",
            "K14": "Redis credentials are a namespace's own, short-lived, given for a pod's token",
        },
    ),
    **_table(
        _INJECTION,
        {
            "K5": "an annotated pod gets a native sidecar; Jobs finish; injecting twice is once",
            "K6": "webhook down or deleted: enrolled pods are refused, others are untouched",
            "K7": "certificates rotate under load without one failed admission",
            "K11": "helm install, upgrade and uninstall leave no stuck object",
            "K13": "the level shown is the one achieved; Enforced stands against other ways out",
            "K15": "who may edit a namespace cannot reach into the sidecar, each attack a test",
        },
    ),
    **_table(
        _APPROVALS,
        {
            "A12": "only the operator's key decides, for one pod; no stamp, no yes; vetoes stay",
            "C3": "kubectl mesh7: the laptop's words, kubectl's flags, every form, exit codes",
        },
    ),
    **_table(
        _SEEING,
        {
            "T1": "one trace from agent to tool over OTLP, by header and by _meta",
            "T2": "outcomes, approvals and denials are in the trace (D15)",
            "T3": "a collector that is down or slow costs no latency; what is dropped is counted",
            "T4": "metrics have bounded labels; alerts and dashboard name none that is not there",
            "T5": "the audit shows an edit, a cut, another order, a gap; people's deeds are in it",
            "T6": "secrets and arguments are in no telemetry unless asked for (D50, X24)",
            "D50": "the audit file is private, rotated, and says what could not be written",
            "W10": "no field of an audit record can be changed unseen, and no tail be cut",
        },
    ),
}

OPEN: dict[str, str] = {}
"""Promises that no test is tied to yet, and why. An entry that is tied must be removed."""
