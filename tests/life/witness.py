"""Who remembers what was done to the connections, and knows what must be true of them."""

from __future__ import annotations

from collections import Counter

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing.records import RefreshToken

from .site import Person, Site
from .trouble import Trouble
from .truth import states_told

__all__ = ["Witness"]

Status = SalesforceConnection.Status


class Witness:
    """Attributes:

    leased: whose lease was left behind by a process that died.
    doubts: by token, how often the site may have missed the answer to it: so often it may be sent once more.
    doubtful: the tokens that still are in a row with such a doubt.
    overtaken: whose refresh was under way just now when another process tried the same token, past its lease.
    undelivered: tokens that Salesforce has issued and the site never got.
    provoked: tokens for which two requests at once were made on purpose.
    insisted: dead tokens that somebody had tried again by force.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.generations: dict[Person, int] = {}
        self.leased: set[Person] = set()
        self.doubts: Counter[str] = Counter()
        self.doubtful: set[str] = set()
        self.overtaken: set[Person] = set()
        self.undelivered: set[str] = set()
        self.provoked: set[str] = set()
        self.insisted: set[str] = set()

    def insist(self, person: Person) -> None:
        if person.row.status == Status.RECONNECT_REQUIRED:
            self.insisted.add(self.token(person))

    def token(self, person: Person) -> str:
        token = self.site.stored_token(person.row)
        return token.value if token else ""

    def note(self, person: Person, token: str, trouble: Trouble) -> None:
        if trouble.leased:
            self.leased.add(person)
        if trouble.doubt:
            self.doubts[token] += 1
            self.doubtful.add(token)
        if trouble.loses:
            self.undelivered |= self.site.live_grants() - self.site.known_tokens()

    # What always holds

    def check(self) -> None:
        for person in self.site.people:
            row = person.row
            token = self.site.stored_token(row)
            self.generations_never_go_down(person, row)
            self.only_the_dead_are_flagged_and_for_the_right_reason(row, token)
            self.what_was_given_up_leaves_nothing_behind(row)
            self.each_change_of_state_is_told_once(row)
        self.overtaken.clear()
        self.no_token_is_lost_but_by_a_lost_answer()
        self.a_token_is_sent_again_only_in_doubt()
        self.no_two_requests_are_in_flight_for_one_token()
        self.nothing_goes_to_another_host()

    def generations_never_go_down(self, person: Person, row: SalesforceConnection) -> None:
        before = self.generations.get(person, 0)
        assert row.generation >= before
        if row.generation > before:
            self.doubtful.discard(self.token(person))
            self.leased.discard(person)
            if person in self.overtaken:
                # What was stored then is the newest, and may have been ended by the other's try all the same.
                self.doubtful.add(self.token(person))
        self.generations[person] = row.generation

    def only_the_dead_are_flagged_and_for_the_right_reason(
        self, row: SalesforceConnection, token: RefreshToken | None
    ) -> None:
        if row.status == Status.RECONNECT_REQUIRED:
            assert token is not None
            assert token.value not in self.site.live_grants(), "Salesforce would still honour it"
            may_be = {"rotation_lost"} if token.rotated else {"revoked"}
            may_be |= {"rotation_lost"} if token.value in self.doubtful else set()
            assert row.reason in may_be

    def what_was_given_up_leaves_nothing_behind(self, row: SalesforceConnection) -> None:
        kept = [row.access_token, row.refresh_token, row.lease_owner, row.in_doubt_since, row.is_default]
        assert row.status != Status.DISCONNECTED or kept == [None] * len(kept)
        assert row.status == Status.DISCONNECTED or row.refresh_token is not None

    def each_change_of_state_is_told_once(self, row: SalesforceConnection) -> None:
        told = states_told(row)
        assert told[-1][1:] == (row.status, row.reason)
        assert self.site.told[row.uuid] == [kind for kind, *_ in told]

    def no_token_is_lost_but_by_a_lost_answer(self) -> None:
        assert self.site.live_grants() - self.site.known_tokens() <= self.undelivered

    def a_token_is_sent_again_only_in_doubt(self) -> None:
        replays = Counter(spend.token for spend in self.site.fake.spends if spend.is_replay)
        for token in replays.keys() - self.insisted:
            assert replays[token] <= self.doubts[token]

    def no_two_requests_are_in_flight_for_one_token(self) -> None:
        assert {spend.token for spend in self.site.fake.spends if spend.is_collision} <= self.provoked

    def nothing_goes_to_another_host(self) -> None:
        assert "foreign_host" not in {request.outcome for request in self.site.fake.requests}
