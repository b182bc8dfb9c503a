"""The life of two connections: whatever can happen to one, in any order."""

from __future__ import annotations

from unittest import mock

from django.db import OperationalError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from django_sf_oauth.models import PendingRevocation, SalesforceConnection
from django_sf_oauth.models.store import RowStore
from django_sf_oauth.testing.http import Response
from django_sf_oauth.testing.records import Bar, Replay

from .site import Person, Site
from .trouble import BELIEVED_AFTER, CHANGES, DATABASE_DOWN, MEANWHILE, RIDDLE, TROUBLES
from .truth import expected
from .wire import Moment
from .witness import Witness

__all__ = ["Life"]

Status = SalesforceConnection.Status

people = st.sampled_from([0, 1])
ways = st.sampled_from(["call", "now", "sweep"])


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.site = Site()
        self.fake = self.site.fake
        self.witness = Witness(self.site)

    def teardown(self) -> None:
        try:
            self.all_is_well_again()
        finally:
            self.site.close()

    # What users and the site do

    @rule(who=people)
    def reconnect(self, who: int) -> None:
        person = self.site.people[who]
        if self.site.reconnect(person):
            self.witness.leased.discard(person)
            assert person.row.retry_at is None
            self.site.expire_access_tokens(person)
            self.call(who)

    @rule(who=people)
    def call(self, who: int) -> None:
        person = self.site.people[who]
        row = person.row
        may_fare = expected(self.site, row, is_leased=person in self.witness.leased)
        has_session, spent = self.site.has_session(row), len(self.fake.spends)

        fared = self.site.use(row)

        assert fared in may_fare
        assert not has_session or len(self.fake.spends) == spent, "refreshed without need"

    @rule(who=people)
    def call_with_an_old_copy(self, who: int) -> None:
        person = self.site.people[who]
        row = person.row
        spent = len(self.fake.spends)
        may_fare = expected(self.site, row, is_leased=person in self.witness.leased)
        needs_nothing = person.copy.status == Status.ACTIVE and self.site.has_session(row)

        fared = self.site.use(person.copy)

        # Nor does it look at the row, which may have been flagged meanwhile.
        fine = fared in may_fare or fared == "200"
        assert not needs_nothing or (fine and len(self.fake.spends) == spent)

    @rule(who=people)
    def save_an_old_copy(self, who: int) -> None:
        person = self.site.people[who]
        before = person.row

        person.copy.username = f"{person.copy.generation}@acme-outdoor.example"
        person.copy.save()
        person.copy = person.row

        for name in ("generation", "status", "refresh_token", "access_token", "lease_owner"):
            assert getattr(person.row, name) == getattr(before, name)

    @rule(who=people)
    def refresh_now(self, who: int) -> None:
        self.start("now", self.site.people[who])

    @rule()
    def sweep(self) -> None:
        self.site.sweep(self.site.people)

    @rule(who=people)
    def disconnect(self, who: int) -> None:
        self.give_up(self.site.people[who])

    @rule()
    def revoke_pending(self) -> None:
        self.site.revoke_pending()

    # What goes wrong

    @rule(who=people, way=ways, what=st.sampled_from(sorted(TROUBLES)))
    def trouble(self, who: int, way: str, what: str) -> None:
        person, trouble = self.site.people[who], TROUBLES[what]
        token = self.witness.token(person)
        happened = []

        def act() -> Response:
            happened.append(what)
            return trouble.act()

        self.fake.at(trouble.moment, act)
        self.start_anew(way, person)
        self.fake.let_be()
        if happened:
            self.witness.note(person, token, trouble)

    @rule(who=people, way=ways)
    def database_down_at_the_store(self, who: int, way: str) -> None:
        person = self.site.people[who]
        token = self.witness.token(person)
        with mock.patch.object(RowStore, "store", side_effect=OperationalError) as store:
            self.start_anew(way, person)
        if store.called:
            self.witness.note(person, token, DATABASE_DOWN)

    @rule(who=people, way=ways)
    def riddle(self, who: int, way: str) -> None:
        person = self.site.people[who]
        is_enough = person.row.failure_count + 1 >= BELIEVED_AFTER
        self.fake.at("sent", lambda: None if is_enough else RIDDLE)
        self.start_anew(way, person)
        self.fake.let_be()

    @rule(who=people, way=ways)
    def somebody_elses_request_is_in_flight(self, who: int, way: str) -> None:
        person = self.site.people[who]
        token = self.witness.token(person)
        self.witness.provoked.add(token)
        self.fake.world.claim(token)
        self.start(way, person)
        self.fake.world.release(token)

    @rule(who=people, way=ways, what=st.sampled_from(MEANWHILE))
    def while_it_is_in_flight(self, who: int, way: str, what: str) -> None:
        self.meanwhile("in_flight", self.site.people[who], way, what)

    @rule(who=people, way=ways, what=st.sampled_from(MEANWHILE))
    def before_its_answer_is_stored(self, who: int, way: str, what: str) -> None:
        self.meanwhile("answered", self.site.people[who], way, what)

    def meanwhile(self, moment: Moment, person: Person, way: str, what: str) -> None:
        def act() -> None:
            match what:
                case "another process asks":
                    self.ask_elsewhere(person)
                case "the lease ends":
                    self.end_leases()
                case "the lease ends and another process asks":
                    self.ask_after_the_lease(person)
                    self.witness.overtaken.add(person)
                case "disconnect":
                    self.give_up(person)
                case "reconnect":
                    self.site.reconnect(person)
                case _:
                    self.fake.revoke(person.salesforce)

        self.fake.at(moment, act)
        self.start_anew(way, person)
        self.fake.let_be()

    # What changes around it

    @rule(who=people)
    def access_tokens_expire(self, who: int) -> None:
        self.site.expire_access_tokens(self.site.people[who])

    @rule(who=people, what=st.sampled_from(CHANGES))
    def something_changes(self, who: int, what: str) -> None:
        fake, salesforce = self.fake, self.site.people[who].salesforce
        match what.split(": "):
            case ["rotation", replay]:
                fake.rotation, fake.replay = bool(replay), Replay(replay or "I")
            case ["blocked", why]:
                fake.block_app(Bar(why))
            case ["addresses restricted"]:
                fake.restrict_ip()
            case ["user deactivated"]:
                fake.deactivate_user(salesforce)
            case ["revoked"]:
                fake.revoke(salesforce)
            case ["org moves"]:
                fake.move_instance()
            case ["revocation fails"]:
                fake.revokes = False
            case ["stop", scope]:
                self.site.stop(f"{scope}{fake.org.id}" if scope else "all")
            case ["secret", how]:
                self.rotate_the_consumer_secret(keep_old="abruptly" not in how, tell="untold" not in how)
            case _:
                self.obstacles_go()

    def rotate_the_consumer_secret(self, *, keep_old: bool, tell: bool) -> None:
        new = f"secret-{len(self.fake.requests)}"
        self.fake.rotate_secret(new, keep_old=keep_old)
        self.site.secrets += [new] if tell else []
        self.site.configure()

    def obstacles_go(self) -> None:
        self.fake.revokes = True
        self.site.secrets = list(self.fake.app.secrets)
        self.site.configure()
        self.site.admins_relent()
        self.site.release()

    @rule(leases=st.booleans())
    def time_passes(self, leases: bool) -> None:
        self.site.end_backoffs()
        if leases:
            self.end_leases()

    @rule()
    def all_is_well_again(self) -> None:
        """Whatever happened: a grant that Salesforce honours works again, and one that it does not is flagged."""
        self.obstacles_go()
        self.time_passes(leases=True)

        self.revoke_pending()
        self.sweep()

        assert not PendingRevocation.objects.exists()
        for number, person in enumerate(self.site.people):
            assert person.row.status != Status.BLOCKED
            self.site.expire_access_tokens(person)
            self.call(number)
        self.holds()

    @invariant()
    def holds(self) -> None:
        self.witness.check()

    # How it is done

    def start_anew(self, way: str, person: Person) -> None:
        """As `start`, with nothing in its way but what is meant to be."""
        self.site.expire_access_tokens(person)
        self.site.end_backoffs()
        self.start(way, person)

    def start(self, way: str, person: Person) -> None:
        """Brings about a refresh, if one is called for."""
        match way:
            case "call":
                self.site.use(person.row)
            case "now":
                self.witness.insist(person)
                self.site.refresh_now(person)
            case _:
                self.site.sweep([person])

    def give_up(self, person: Person) -> None:
        person.row.disconnect()
        self.witness.leased.discard(person)

    def ask_elsewhere(self, person: Person) -> None:
        self.witness.insist(person)
        self.site.ask_elsewhere(person)

    def end_leases(self) -> None:
        self.witness.leased.clear()
        self.site.end_leases()

    def ask_after_the_lease(self, person: Person) -> None:
        token = self.witness.token(person)
        self.witness.provoked.add(token)
        self.witness.insisted.add(token)  # by the one process or the other
        self.witness.doubtful.add(token)
        self.end_leases()
        self.ask_elsewhere(person)
