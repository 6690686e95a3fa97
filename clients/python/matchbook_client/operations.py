"""One method for each request. Made by `make clients` from /openapi.json: do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from matchbook_client.transport import Transport, quoted
from matchbook_client.types import (
    Accepted,
    Event,
    Query,
    SimilarStartupList,
    SimilarStartupLists,
    SimilarUserList,
    SimilarUserLists,
    StartupList,
    StartupListRows,
    StartupLists,
    StartupsForDeveloperBecauseQuery,
    UserList,
    UserListRows,
    UserLists,
)


class Matchbook(Transport):
    """A client of one reader. Threads may share it."""

    def startups_for_developer(self, owner: str, **query: Unpack[Query]) -> StartupList:
        """startups/for-developer: the list of one user."""
        found: StartupList = self.send("GET", f"/api/recommendations/startups/for-developer/{quoted(owner)}", query)
        return found

    def startups_for_developer_many(self, ids: Sequence[str], **query: Unpack[Query]) -> StartupLists:
        """startups/for-developer: the lists of several owners, all of one release."""
        found: StartupLists = self.send("POST", "/api/recommendations/startups/for-developer/many", query, {"ids": ids})
        return found

    def startups_for_investor(self, owner: str, **query: Unpack[Query]) -> StartupList:
        """startups/for-investor: the list of one user."""
        found: StartupList = self.send("GET", f"/api/recommendations/startups/for-investor/{quoted(owner)}", query)
        return found

    def startups_for_investor_many(self, ids: Sequence[str], **query: Unpack[Query]) -> StartupLists:
        """startups/for-investor: the lists of several owners, all of one release."""
        found: StartupLists = self.send("POST", "/api/recommendations/startups/for-investor/many", query, {"ids": ids})
        return found

    def developers_for_startup(self, owner: str, **query: Unpack[Query]) -> UserList:
        """developers/for-startup: the list of one startup."""
        found: UserList = self.send("GET", f"/api/recommendations/developers/for-startup/{quoted(owner)}", query)
        return found

    def developers_for_startup_many(self, ids: Sequence[str], **query: Unpack[Query]) -> UserLists:
        """developers/for-startup: the lists of several owners, all of one release."""
        found: UserLists = self.send("POST", "/api/recommendations/developers/for-startup/many", query, {"ids": ids})
        return found

    def investors_for_startup(self, owner: str, **query: Unpack[Query]) -> UserList:
        """investors/for-startup: the list of one startup."""
        found: UserList = self.send("GET", f"/api/recommendations/investors/for-startup/{quoted(owner)}", query)
        return found

    def investors_for_startup_many(self, ids: Sequence[str], **query: Unpack[Query]) -> UserLists:
        """investors/for-startup: the lists of several owners, all of one release."""
        found: UserLists = self.send("POST", "/api/recommendations/investors/for-startup/many", query, {"ids": ids})
        return found

    def startups_similar_to(self, owner: str, **query: Unpack[Query]) -> SimilarStartupList:
        """startups/similar-to: the list of one startup."""
        found: SimilarStartupList = self.send("GET", f"/api/recommendations/startups/similar-to/{quoted(owner)}", query)
        return found

    def startups_similar_to_many(self, ids: Sequence[str], **query: Unpack[Query]) -> SimilarStartupLists:
        """startups/similar-to: the lists of several owners, all of one release."""
        found: SimilarStartupLists = self.send(
            "POST", "/api/recommendations/startups/similar-to/many", query, {"ids": ids}
        )
        return found

    def users_similar_to(self, owner: str, **query: Unpack[Query]) -> SimilarUserList:
        """users/similar-to: the list of one user."""
        found: SimilarUserList = self.send("GET", f"/api/recommendations/users/similar-to/{quoted(owner)}", query)
        return found

    def users_similar_to_many(self, ids: Sequence[str], **query: Unpack[Query]) -> SimilarUserLists:
        """users/similar-to: the lists of several owners, all of one release."""
        found: SimilarUserLists = self.send("POST", "/api/recommendations/users/similar-to/many", query, {"ids": ids})
        return found

    def startups_for_developer_popular(self, **query: Unpack[Query]) -> StartupList:
        """startups/for-developer: the popular list, the same for everyone."""
        found: StartupList = self.send("GET", "/api/recommendations/startups/for-developer/popular", query)
        return found

    def startups_for_developer_trending(self, **query: Unpack[Query]) -> StartupList:
        """startups/for-developer: the trending list, the same for everyone."""
        found: StartupList = self.send("GET", "/api/recommendations/startups/for-developer/trending", query)
        return found

    def startups_for_developer_because(
        self, owner: str, **query: Unpack[StartupsForDeveloperBecauseQuery]
    ) -> StartupListRows:
        """startups/for-developer: what is similar to the items that an owner engaged with last."""
        found: StartupListRows = self.send(
            "GET", f"/api/recommendations/startups/for-developer/{quoted(owner)}/because", query
        )
        return found

    def startups_for_investor_popular(self, **query: Unpack[Query]) -> StartupList:
        """startups/for-investor: the popular list, the same for everyone."""
        found: StartupList = self.send("GET", "/api/recommendations/startups/for-investor/popular", query)
        return found

    def startups_for_investor_trending(self, **query: Unpack[Query]) -> StartupList:
        """startups/for-investor: the trending list, the same for everyone."""
        found: StartupList = self.send("GET", "/api/recommendations/startups/for-investor/trending", query)
        return found

    def startups_for_investor_because(
        self, owner: str, **query: Unpack[StartupsForDeveloperBecauseQuery]
    ) -> StartupListRows:
        """startups/for-investor: what is similar to the items that an owner engaged with last."""
        found: StartupListRows = self.send(
            "GET", f"/api/recommendations/startups/for-investor/{quoted(owner)}/because", query
        )
        return found

    def developers_for_startup_popular(self, **query: Unpack[Query]) -> UserList:
        """developers/for-startup: the popular list, the same for everyone."""
        found: UserList = self.send("GET", "/api/recommendations/developers/for-startup/popular", query)
        return found

    def developers_for_startup_trending(self, **query: Unpack[Query]) -> UserList:
        """developers/for-startup: the trending list, the same for everyone."""
        found: UserList = self.send("GET", "/api/recommendations/developers/for-startup/trending", query)
        return found

    def developers_for_startup_because(
        self, owner: str, **query: Unpack[StartupsForDeveloperBecauseQuery]
    ) -> UserListRows:
        """developers/for-startup: what is similar to the items that an owner engaged with last."""
        found: UserListRows = self.send(
            "GET", f"/api/recommendations/developers/for-startup/{quoted(owner)}/because", query
        )
        return found

    def investors_for_startup_popular(self, **query: Unpack[Query]) -> UserList:
        """investors/for-startup: the popular list, the same for everyone."""
        found: UserList = self.send("GET", "/api/recommendations/investors/for-startup/popular", query)
        return found

    def investors_for_startup_trending(self, **query: Unpack[Query]) -> UserList:
        """investors/for-startup: the trending list, the same for everyone."""
        found: UserList = self.send("GET", "/api/recommendations/investors/for-startup/trending", query)
        return found

    def investors_for_startup_because(
        self, owner: str, **query: Unpack[StartupsForDeveloperBecauseQuery]
    ) -> UserListRows:
        """investors/for-startup: what is similar to the items that an owner engaged with last."""
        found: UserListRows = self.send(
            "GET", f"/api/recommendations/investors/for-startup/{quoted(owner)}/because", query
        )
        return found

    def post_events(self, events: Sequence[Event]) -> Accepted:
        """Store events, each event id once."""
        found: Accepted = self.send("POST", "/api/events", {}, {"events": events})
        return found
