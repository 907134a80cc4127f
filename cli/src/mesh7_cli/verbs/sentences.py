"""What each reason means, in one sentence: the first of its paragraph in docs/reference/reasons.md.

A test holds them together. Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from typing import Final

from mesh7_core.policy.reasons import Reason

SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.ALLOWED_BY_RULE: (
        "Every layer that had a say allowed the call, and at least one rule said so by name."
    ),
    Reason.ALLOWED_BY_DEFAULT: (
        "No rule matched, and the policies that bear on the agent have `defaultAction: Allow`."
    ),
    Reason.AUDIT_ONLY: (
        "Only policies in audit mode bear on the agent, so the call went through unenforced."
    ),
    Reason.APPROVED: "People said yes to this exact call, and it ran.",
    Reason.GRANTED: (
        "People would have been asked, and a standing grant stood in for each rule that asks."
    ),
    Reason.REPLAYED: (
        "The same call was approved and ran a moment ago, and this repeat was given the "
        "result of that run."
    ),
    Reason.DENIED_BY_RULE: (
        "A rule with `action: Deny` matched; a Deny beats every other opinion of its layer, "
        "and a baseline's beats the namespace's."
    ),
    Reason.DENIED_BY_DEFAULT: (
        "No rule matched, and the strictest `defaultAction` of the policies that bear on the "
        "agent is Deny."
    ),
    Reason.CONDITION_FAILED: (
        "The `when` of a Deny rule could not be evaluated for these arguments: a field is "
        "missing, has another type, or a key equals a used name only in another case."
    ),
    Reason.NO_POLICY: "No policy bears on the agent, so everything is denied.",
    Reason.VETOED: ("A grant with `effect: Deny`, such as `mesh7 kill` makes, stops this call."),
    Reason.NOT_LISTED_BY_POLICY: (
        "A resource or a prompt that no rule names: a `defaultAction` speaks for tools only, "
        "so these need a rule of their own."
    ),
    Reason.NO_BUNDLE: (
        "There is no compiled policy yet: the gateway is starting, or what it found did not "
        "compile and there is no earlier set to keep."
    ),
    Reason.UNKNOWN_TOOL: "The source does not list a tool, prompt or resource of this name.",
    Reason.UNKNOWN_SOURCE: ("The path or the name's first part names no ToolSource of the folder."),
    Reason.UNKNOWN_METHOD: (
        "The MCP method is not one that mesh7 knows, or not one of the era that the client speaks."
    ),
    Reason.SOURCE_UNAVAILABLE: (
        "The source cannot be reached, does not start, answers nonsense, or its list of tools"
        " cannot be read, so that nobody knows what the call would hit."
    ),
    Reason.DEFINITION_CHANGED: (
        "What the source now says of this tool, its description or its schema, is not what "
        "was accepted, and the source has `pinning: {mode: Enforce}`."
    ),
    Reason.SERVER_REQUEST_REFUSED: (
        "A server asked the client for something (`sampling`, `roots`, `elicitation`) that "
        "the source's `serverRequests` denies."
    ),
    Reason.MALFORMED: (
        "The request is not one message that everybody would read alike: broken JSON, "
        "duplicate keys, numbers that overflow, wrong UTF-8, an envelope with a wrong field, "
        "a batch, ambiguous framing."
    ),
    Reason.HEADER_MISMATCH: (
        "A header that repeats something of the body (`Mcp-Method`, `Mcp-Name`, `MCP-"
        "Protocol-Version`, `Mcp-Param-*`) is missing, doubled, or says something else than "
        "the body."
    ),
    Reason.TOO_LARGE: "A body, header block, answer or nesting is beyond its limit.",
    Reason.TOO_MANY: (
        "Too many connections, sessions or calls at once for this gateway or this source "
        "(`bounds.maxConcurrency`)."
    ),
    Reason.FORBIDDEN_ORIGIN: (
        "The request carries `Origin` or `Sec-Fetch-*`, so a web page in a browser made it."
    ),
    Reason.FORBIDDEN_HOST: (
        "The `Host` header names neither loopback nor the address that the gateway listens "
        "on, which is how a rebound DNS name shows."
    ),
    Reason.UNAUTHENTICATED: (
        "The gateway was started with `--token-file`, and the request has no token, or another one."
    ),
    Reason.UNKNOWN_SESSION: (
        "The `Mcp-Session-Id` is not a live session of this agent: expired, ended, never "
        "opened, or somebody else's."
    ),
    Reason.APPROVAL_REQUIRED: (
        "A rule with `action: RequireApproval` spoke, and nothing stricter did: people have "
        "to say yes first."
    ),
    Reason.RUNNING: (
        "People said yes, and the same call is running right now for another caller that made"
        " it; this one waited as long as it may."
    ),
    Reason.APPROVAL_UNAVAILABLE: (
        "The call needs an approval, and nobody can be asked now: the store that holds "
        "requests is away, there is none, a pod has no credentials for it yet, or the claim "
        "cannot be written to the gateway's own disk."
    ),
    Reason.APPROVAL_EXPIRED: (
        "Nobody decided within the rule's `timeout`, or the yes came and was not used within "
        "`useWithin`."
    ),
    Reason.DENIED_BY_PERSON: (
        "Somebody looked at this exact call and said no; the answer has their words. In a "
        "cluster they are those that the operator signed."
    ),
    Reason.TOO_MANY_PENDING: (
        "As many calls wait for people as may: 20 of one pod and 200 of a namespace, unless "
        "`--approval-caps` says otherwise."
    ),
    Reason.OUTCOME_UNKNOWN: (
        "The call was approved and started, and then the gateway died or lost its way before "
        "it saw a result; or a store that forgot, or was tampered with, offers an approval "
        "once more that the gateway's journal knows as used."
    ),
    Reason.LIMIT_EXCEEDED: (
        "A limit that a speaking rule names is used up for this pod, agent, session or namespace."
    ),
    Reason.LIMIT_UNAVAILABLE: (
        "The count of a limit is not known: the store that counts is away, or it was emptied "
        "less than a window ago."
    ),
    Reason.LOOP_DETECTED: (
        "The same call with the same arguments came more often within the window than "
        "`loops.identical` allows."
    ),
}
