"""What a refusal says to the model or program that was refused.

Every text names what decided (rule, limit, request), says whether the same call can succeed later,
and what to do instead; docs/reference/reasons.md has the same codes for people.
Pure: no clock, no network, no logging.
"""

from datetime import timedelta
from typing import Final

from mesh7_core.api.quantities import spell_duration
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.wire import names

_FINAL: Final = (
    "The same call will be refused again: do something else,"
    " or ask the person you work for to change the policy."
)
_LATER: Final = "The same call can succeed later."
_PEOPLES: Final = "do something else, or ask the person you work for."

# Reason → what happened to the call; `{name}` is what was called.
_HAPPENED: Final[dict[Reason, str]] = {
    Reason.NO_POLICY: "`{name}` was refused: no policy allows it.",
    Reason.NO_BUNDLE: "`{name}` was refused: the gateway has no policies yet.",
    Reason.UNKNOWN_SOURCE: "there is no such source as that of `{name}`.",
    Reason.SOURCE_UNAVAILABLE: "`{name}` was not called: its source cannot be reached.",
    Reason.LIMIT_UNAVAILABLE: "`{name}` was refused: its limit cannot be counted right now.",
    Reason.APPROVAL_UNAVAILABLE: (
        "`{name}` was refused: a person has to approve it, and none can be asked right now."
    ),
    Reason.TOO_MANY_PENDING: (
        "`{name}` was refused: too many calls wait for a person's approval already."
    ),
    Reason.SERVER_REQUEST_REFUSED: "`{name}` was refused: its source asked back for too much.",
    Reason.TOO_LARGE: "`{name}` was refused: it is too large.",
    Reason.TOO_MANY: "`{name}` was refused: too much is going on.",
}
_TRANSIENT: Final = frozenset({
    Reason.NO_BUNDLE, Reason.SOURCE_UNAVAILABLE, Reason.LIMIT_UNAVAILABLE, Reason.TOO_MANY,
    Reason.APPROVAL_UNAVAILABLE, Reason.TOO_MANY_PENDING,
})  # fmt: skip
UNKNOWN: Final = frozenset({
    Reason.UNKNOWN_TOOL, Reason.NOT_LISTED_BY_POLICY, Reason.DEFINITION_CHANGED,
})  # fmt: skip
"""Reasons that answer as if the thing did not exist, all in the same words (design 4)."""
THROTTLED: Final = frozenset({
    Reason.LIMIT_EXCEEDED, Reason.LIMIT_UNAVAILABLE, Reason.LOOP_DETECTED, Reason.TOO_MANY,
    Reason.TOO_MANY_PENDING,
})  # fmt: skip

# Reason → what people did to the call, and what follows from it.
_BY_PEOPLE: Final[dict[Reason, tuple[str, str]]] = {
    Reason.DENIED_BY_PERSON: (
        "was refused by a person", f"The same call will be refused again: {_PEOPLES}",
    ),
    Reason.APPROVAL_EXPIRED: (
        "has not run: no approval came in time",
        "Repeating exactly the same call asks for one again.",
    ),
    Reason.OUTCOME_UNKNOWN: (
        "was approved and may have run, but its answer is lost",
        "Look at what it changed before you do anything else; repeating it asks a person again.",
    ),
    Reason.VETOED: (
        "was stopped by a person",
        f"It will be refused until that is lifted: {_PEOPLES}",
    ),
}  # fmt: skip
_SAID: Final = frozenset({Reason.DENIED_BY_PERSON, Reason.VETOED})
"""Where the decision's text is what a person wrote about this refusal."""


def sentence(decision: Decision, name: str) -> str:
    """The text for a refused or held call to `name`, which may be any stranger's string."""
    shown = names.shown(name)
    if decision.verdict is Verdict.HOLD:
        return _held(decision, shown)
    if decision.reason in {Reason.LIMIT_EXCEEDED, Reason.LOOP_DETECTED}:
        return _throttled(decision, shown)
    if decision.reason in _BY_PEOPLE:
        return _by_people(decision, shown)
    happened = _HAPPENED.get(decision.reason)
    text = _denied(decision, shown) if happened is None else happened.format(name=shown)
    if decision.retry_after_s:
        return f"{text} {_LATER} Wait {decision.retry_after_s} s, then repeat it."
    if decision.reason in _TRANSIENT:
        return f"{text} {_LATER}"
    return f"{text} {_FINAL}"


def unknown(noun: str, name: str) -> str:
    """For a thing that does not exist here, or that this agent must not know of."""
    return f"unknown {noun} `{names.shown(name)}`"


def _denied(decision: Decision, shown: str) -> str:
    if not decision.rules:
        return f"`{shown}` was refused ({decision.reason.value})."
    rules = ", ".join(f"`{rule}`" for rule in decision.rules)
    noun = "rule" if len(decision.rules) == 1 else "rules"
    why = f": {names.shown(decision.text, 500)}" if decision.text else ""
    return f"`{shown}` was denied by {noun} {rules} ({decision.reason.value}){why}."


def _by_people(decision: Decision, shown: str) -> str:
    """What people decided, or did not; never who they are."""
    what, ending = _BY_PEOPLE[decision.reason]
    request = f" (request `{names.shown(decision.request_id)}`)" if decision.request_id else ""
    said = decision.reason in _SAID and decision.text
    why = f": {names.shown(decision.text, 500).rstrip('.')}" if said else ""
    return f"`{shown}` {what}{request}{why}. {ending}"


def _throttled(decision: Decision, shown: str) -> str:
    noun = "loop limit" if decision.reason is Reason.LOOP_DETECTED else "limit"
    text = f"`{shown}` was refused: the {noun} `{decision.limit}` is used up."
    if decision.retry_after_s:
        return f"{text} Wait {decision.retry_after_s} s, then the same call can succeed."
    return f"{text} Waiting does not help: do something else, or ask the person you work for."


def _held(decision: Decision, shown: str) -> str:
    if decision.reason is Reason.RUNNING:
        return (
            f"`{shown}` was approved (request `{decision.request_id}`) and is running now."
            " Repeat exactly the same call to get its result; it does not run twice."
        )
    rules = ", ".join(f"`{rule}`" for rule in decision.rules)
    asked = f" (rule {rules})" if rules else ""
    why = f": {names.shown(decision.text, 500).rstrip('.')}" if decision.text else ""
    open_for = spell_duration(timedelta(seconds=decision.open_for_s))
    span = f" The request is open for {open_for}." if decision.open_for_s else ""
    return (
        f"`{shown}` waits for a person's approval{asked}, request `{decision.request_id}`{why}."
        f" It has not run.{span} Repeat exactly the same call to get its result;"
        " with other arguments it would be a new request."
    )
