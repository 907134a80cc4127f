"""Who waits, live: cards decided by single keys on a terminal, lines for everybody else."""

import select
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import click

from mesh7_cli import (
    cards,
    changes,
    deciding,
    desk,
    exits,
    following,
    keys,
    output,
    reading,
    spelled,
)
from mesh7_cli.backend import ANY, Deciding, Pin
from mesh7_core import errors

HELP = """\
  a  say yes to this exact call, once
  d  say no; you are asked for a reason, which the agent reads
  s  leave it waiting and go on to the next; with none left, begin again
  f  show the arguments in full, when they are long
  ?  this help
  q  quit; what waits goes on waiting"""
PROMPT = "[a]pprove  [d]eny  [s]kip  [?]  [q]uit > "
IDLE = "nothing waits, watching (q quits)"
LONGEST_LINE = 2_000
HEAD = {"request", "tool", "agent"}
SAYINGS = {
    desk.Wish.APPROVE: "approve",
    desk.Wish.DENY: "deny",
    desk.Wish.NEXT: "skip",
    desk.Wish.QUIT: "quit",
    desk.Wish.HELP: HELP,
    desk.Wish.UNSEEN: "the arguments were not shown in full yet, press `f` first",
}


def print_changes(follower: changes.Follower, form: output.Form) -> None:
    """Print each open request and each change, until interrupted; decide nothing.

    A line each, but for YAML, which is a document each.
    """
    seen: dict[str, tuple[str, int]] = {}
    while True:
        for event in follower.take():
            match event:
                case changes.Listed(requests):
                    listed = {reading.text(one, "id") for one in requests}
                    for gone in seen.keys() - listed:
                        del seen[gone]
                    for one in requests:
                        _print_change(one, seen, form)
                case changes.Changed(request):
                    _print_change(request, seen, form)
                case changes.Away(why):
                    _complain(f"{why} – trying again")
                case changes.Ended(error):
                    raise error


def _print_change(
    request: Mapping[str, object], seen: dict[str, tuple[str, int]], form: output.Form
) -> None:
    identifier = reading.text(request, "id")
    state = (reading.text(request, "state"), len(reading.objects(request, "decisions")))
    if seen.get(identifier) == state:
        return
    if state[0] == cards.PENDING:
        seen[identifier] = state
    else:
        seen.pop(identifier, None)
    if form is output.Form.JSON:
        click.echo(spelled.compact(request))
    elif form is output.Form.YAML:
        click.echo("---")
        output.write(request, form)
    else:
        click.echo(cards.one_line(request, LONGEST_LINE))


class Session:
    """One person at one terminal."""

    def __init__(self, backend: Deciding, pressed: keys.Keys, clock_s: Callable[[], float]) -> None:
        self._backend = backend
        self._keys = pressed
        self._clock_s = clock_s
        self._desk = desk.Desk()
        self._is_new = True
        self._is_away = False
        self._is_prompted = False
        self._shown = ANY

    def serve(self, follower: changes.Follower) -> None:
        """Show cards and do what the keys say, until `q` or the terminal is gone.

        Raises:
            Mesh7Error: the gateway was never there, or does not let this person watch.
        """
        while True:
            # A signal that comes just before the wait does not end it: look again soon.
            ready, _, _ = select.select(
                [self._keys.fileno(), follower.fileno()], [], [], following.AGAIN_S
            )
            if follower.fileno() in ready:
                for event in follower.take():
                    self._learn(event)
            if self._keys.fileno() in ready:
                key = self._keys.pressed()
                if key is None or self._press(key):
                    return
            while identifier := self._desk.next():
                self._lay(identifier, cards.brief)
            if self._desk.top and not self._is_prompted:
                click.echo(PROMPT, nl=False)
                self._is_prompted = True

    def _learn(self, event: changes.Event) -> None:
        before = self._desk.waiting
        was_top = self._desk.top
        match event:
            case changes.Listed(requests):
                self._list(requests)
            case changes.Changed(request):
                if self._desk.changed(request):
                    state = output.visible(reading.text(request, "state"))
                    self._say(f"`{output.visible(was_top)}` is {state} now, decided elsewhere")
                    if not self._desk.waiting:
                        self._say(IDLE)
            case changes.Away(why):
                if not self._is_away:
                    self._say(f"mesh7: {why} – trying again")
                self._is_away = True
            case changes.Ended(error):
                raise error
        if self._desk.top and self._desk.waiting > before:
            self._say(f"{self._desk.waiting} wait in all")

    def _list(self, requests: Iterable[Mapping[str, object]]) -> None:
        was_top, waited = self._desk.top, self._desk.waiting
        if self._desk.listed(requests):
            self._say(f"`{output.visible(was_top)}` does not wait any more")
        if self._is_away:
            self._say("there again")
            self._desk.again()
        if not self._desk.waiting and (waited or self._is_away or self._is_new):
            self._say(IDLE)
        self._is_away = self._is_new = False

    def _press(self, key: str) -> bool:
        """Do what a key asks for; whether the person wants to go."""
        wish = self._desk.press(key, self._clock_s())
        if wish in SAYINGS:
            self._say(SAYINGS[wish])
        match wish:
            case desk.Wish.APPROVE:
                self._decide("approve", "")
            case desk.Wish.DENY:
                self._deny()
            case desk.Wish.NEXT:
                self._desk.put_by()
                if not self._desk.next():
                    self._say(f"{self._desk.waiting} skipped, `s` shows what waits again")
            case desk.Wish.AGAIN:
                self._desk.again()
            case desk.Wish.FULL:
                self._lay(self._desk.top, cards.whole)
            case _:
                pass
        return wish is desk.Wish.QUIT

    def _lay(
        self, identifier: str, draw: Callable[[Mapping[str, object], datetime], cards.Card]
    ) -> None:
        """Put a card on top, as its request is at this moment."""
        try:
            request = self._backend.request(identifier)
        except exits.UnknownError:
            request = {"id": identifier}
        except errors.Mesh7Error as error:
            self._say(f"mesh7: {error.message}")
            self._desk.show(identifier, self._clock_s(), is_whole=False)
            self._desk.put_by()
            return
        self._desk.changed(request)
        if reading.text(request, "state") != cards.PENDING:
            return
        card = draw(request, datetime.now(UTC))
        self._say("\n".join(["", *map(_coloured, card.lines), ""]))
        if not card.is_whole:
            full = "all that was kept of them" if cards.cut_note(request) else "them in full"
            self._say(f"not all of the arguments stand here: `f` shows {full}, then keys count\n")
        self._keys.forget()
        self._shown = Pin(uid=reading.text(request, "uid"), digest=reading.text(request, "digest"))
        self._desk.show(identifier, self._clock_s(), is_whole=card.is_whole)

    def _deny(self) -> None:
        reason = self._keys.ask("reason (the agent reads it; Ctrl-D leaves it waiting): ")
        if reason is None:
            self._say("\nnot denied")
            self._lay(self._desk.top, cards.brief)
            return
        self._decide("deny", reason)

    def _decide(self, verb: str, reason: str) -> None:
        try:
            # A yes counts only once all that is kept was shown, with a word of what is not.
            request = self._backend.decide(
                verb, self._desk.top, reason, unseen=True, pin=self._shown
            )
        except exits.RefusedError as error:
            self._say(f"mesh7: {error.message}")
            self._desk.put_by()
        except exits.UnknownError as error:
            self._say(f"mesh7: {error.message}")
            self._desk.done()
        except errors.Mesh7Error as error:
            self._say(f"mesh7: {error.message}")
        else:
            self._say(deciding.said(verb, request, self._backend.voice))
            if reading.text(request, "state") == cards.PENDING:
                self._desk.put_by()
            else:
                self._desk.done()
        if not self._desk.waiting:
            self._say(IDLE)

    def _say(self, text: str) -> None:
        if self._is_prompted:
            click.echo()
        self._is_prompted = False
        click.echo(text)


def decide_from_the_keyboard(backend: Deciding, follower: changes.Follower) -> None:
    """Show each open request as a card and decide by single keys."""
    with keys.listening() as pressed:
        Session(backend, pressed, time.monotonic).serve(follower)


def _coloured(line: str) -> str:
    name, _, rest = line.partition(" ")
    if name in HEAD and output.may_colour():
        return f"{name} {click.style(rest, bold=True)}"
    return line


def _complain(line: str) -> None:
    click.echo(f"mesh7: {line}", err=True)
