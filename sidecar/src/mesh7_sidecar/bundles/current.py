"""The bundle in force: swapped whole, asked for on every call, closed before the first.

Pure: no clock, no network, no logging.
"""

from mesh7_core.policy import bundle, calls, view

MAXIMUM_VIEWS = 256


class Current:
    """The bundle in force and what each agent is judged by under it.

    Attributes:
        bundle: the one in force; None before the first.
        digest: its digest; empty before the first.
        overlay: grants and vetoes that lie over it.
    """

    def __init__(self) -> None:
        self.bundle: bundle.Bundle | None = None
        self.digest = ""
        self.overlay: tuple[bundle.Grant, ...] = ()
        self._views: dict[calls.Agent, view.AgentView] = {}
        self._seen: set[str] = set()

    @property
    def remembered(self) -> int:
        """For how many agents it is known what they are judged by; at most `MAXIMUM_VIEWS`."""
        return len(self._views)

    def swap(self, fresh: bundle.Bundle) -> None:
        """Put another bundle in force; the next call is judged by it, the overlay stays."""
        self._views = {}
        self.bundle, self.digest = fresh, fresh.digest

    def swap_overlay(self, grants: tuple[bundle.Grant, ...]) -> None:
        """Lay other grants and vetoes over the bundle; the next call is judged by them too."""
        if grants != self.overlay:
            self._views = {}
            self.overlay = grants

    def view(self, agent: calls.Agent) -> view.AgentView | None:
        """What `agent` is judged by; None before the first bundle."""
        if self.bundle is None:
            return None
        found = self._views.get(agent)
        if found is None:
            if len(self._views) >= MAXIMUM_VIEWS:
                self._views.clear()
            if len(self._seen) < MAXIMUM_VIEWS:
                self._seen.add(agent.service_account)
            found = self._views[agent] = view.view_of(self.bundle, agent, self.overlay)
        return found

    def may_have_seen(self, service_account: str) -> bool:
        """Whether an agent of this name was judged here, or it is not known any more."""
        return service_account in self._seen or len(self._seen) >= MAXIMUM_VIEWS
