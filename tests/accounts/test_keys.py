"""API keys: who holds one, and what is left of it in the database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from accounts.authentication import actor_from_headers
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.models import ApiKey, AuditEvent, Organisation
from accounts.selectors import actors
from accounts.services import keys
from accounts.services.keys import BadExpiry, BadScopes, KeyForbidden, NoSuchKey
from tests.accounts.conftest import House


def everything() -> str:
    """Each row of each table of accounts, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'accounts_%'")
        tables = [row[0] for row in cursor.fetchall()]
        assert len(tables) >= 7
        rows = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            rows += [row[0] for row in cursor.fetchall()]
    return "\n".join(rows)


class TestLookup:
    def test_finds_the_organisation_and_its_scopes(self, house: House) -> None:
        actor = actors.for_key(house.secret("market:read", "orders:write"), now=house.now)

        assert actor is not None
        assert (actor.organisation_id, actor.user_id, actor.role) == (house.own_id, None, None)
        assert actor.scopes == {"market:read", "orders:write"}
        assert not actor.is_staff

    def test_does_not_know_a_revoked_key(self, house: House) -> None:
        secret = house.secret()
        actor = actors.for_key(secret, now=house.now)
        assert actor is not None and actor.key_id is not None

        keys.revoke(actor=house.owner, key_id=actor.key_id, now=house.now)

        assert actors.for_key(secret, now=house.now) is None

    def test_does_not_know_a_key_from_its_expiry_on(self, house: House) -> None:
        secret = house.secret(expires_at=house.now + timedelta(hours=1))

        assert actors.for_key(secret, now=house.now + timedelta(minutes=59)) is not None
        assert actors.for_key(secret, now=house.now + timedelta(hours=1)) is None

    def test_does_not_know_the_key_of_a_suspended_organisation(self, house: House) -> None:
        secret = house.secret()

        Organisation.objects.filter(id=house.own_id).update(state="suspended")

        assert actors.for_key(secret, now=house.now) is None

    def test_does_not_take_one_key_s_prefix_with_another_s_rest(self, house: House) -> None:
        one, other = house.secret(), house.secret(stranger=True)

        assert actors.for_key(one[:13] + other[13:], now=house.now) is None

    @pytest.mark.parametrize(
        "bad", ["", "tsk_", "tsk_abcdefgh_", "tsk_" + "a" * 8 + "_" + "b" * 43, "é" * 60, "\x00", "x" * 10**5]
    )
    def test_does_not_know_what_is_no_key(self, house: House, bad: str) -> None:
        assert actors.for_key(bad, now=house.now) is None

    def test_does_not_know_a_changed_secret(self, house: House) -> None:
        secret = house.secret()

        for place in range(4, len(secret)):
            changed = secret[:place] + ("a" if secret[place] != "a" else "b") + secret[place + 1 :]
            assert actors.for_key(changed, now=house.now) is None


class TestHeaders:
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_name_the_actor(self, house: House, scheme: str) -> None:
        actor = actor_from_headers({"authorization": f"{scheme} {house.secret()}"})

        assert actor is not None and actor.organisation_id == house.own_id

    @pytest.mark.parametrize(
        "value", ["", "Bearer", "Bearer ", "Basic {}", "Token {}", "{}", "Bearer {} x", "Bearer x {}"]
    )
    def test_name_nobody_in_another_form(self, house: House, value: str) -> None:
        assert actor_from_headers({"authorization": value.format(house.secret())}) is None

    def test_name_nobody_where_there_are_none(self, db: None) -> None:
        assert actor_from_headers({}) is None

    def test_leave_the_time_of_use(self, house: House) -> None:
        actor = actor_from_headers({"authorization": f"Bearer {house.secret()}"})

        assert actor is not None
        assert ApiKey.objects.get(id=actor.key_id).last_used_at is not None


class TestCreate:
    def test_leaves_no_secret_in_the_database(self, house: House) -> None:
        secret = house.secret("market:read", "inference")

        rows = everything()

        assert secret[4:12] in rows  # the prefix, so that the search itself is known to work
        assert secret not in rows and secret[13:] not in rows
        assert secret.encode().hex() not in rows

    def test_makes_secrets_of_one_form_that_never_repeat(self, house: House) -> None:
        made = {house.secret() for _ in range(50)}

        assert len(made) == 50
        assert all(len(one) == 4 + 8 + 1 + 43 for one in made)

    @pytest.mark.parametrize("scopes", [[], ["everything"], ["market:read", "admin"], ["*"]])
    def test_refuses_scopes_that_do_not_exist(self, house: House, scopes: list[str]) -> None:
        with pytest.raises(BadScopes):
            keys.create(actor=house.owner, name="k", scopes=scopes, now=house.now)

    def test_never_gives_more_than_its_maker_has(self, house: House) -> None:
        trader = actors.for_user(house.member("trader"))
        assert trader is not None

        keys.create(actor=trader, name="k", scopes=["orders:write"], now=house.now)
        with pytest.raises(BadScopes):
            keys.create(actor=trader, name="k", scopes=["orders:write", "billing:write"], now=house.now)

    def test_lets_a_key_make_no_stronger_key(self, house: House) -> None:
        weak = actors.for_key(house.secret("keys:write", "market:read"), now=house.now)
        assert weak is not None

        with pytest.raises(BadScopes):
            keys.create(actor=weak, name="k", scopes=["orders:write"], now=house.now)

    @pytest.mark.parametrize("role", ["viewer", "finance"])
    def test_is_not_for_every_role(self, house: House, role: str) -> None:
        actor = actors.for_user(house.member(role))
        assert isinstance(actor, Actor)

        with pytest.raises(KeyForbidden):
            keys.create(actor=actor, name="k", scopes=["market:read"], now=house.now)

    def test_is_in_the_audit_log_without_the_secret(self, house: House) -> None:
        secret = house.secret("market:read")

        event = AuditEvent.objects.get(action="key.created")
        assert (event.organisation_id, event.detail) == (house.own_id, {"scopes": ["market:read"]})
        assert event.subject == ids.encode("key", ApiKey.objects.get().id)
        assert secret[13:] not in str(event.__dict__)

    def test_refuses_an_end_that_has_passed(self, house: House) -> None:
        for ends in (house.now, house.now - timedelta(days=1)):
            with pytest.raises(BadExpiry):
                keys.create(actor=house.owner, name="k", scopes=["market:read"], now=house.now, expires_at=ends)


class TestRevoke:
    def test_is_recorded_once(self, house: House) -> None:
        house.secret()
        key_id = ApiKey.objects.get().id

        for _ in range(2):
            keys.revoke(actor=house.owner, key_id=key_id, now=house.now)

        assert AuditEvent.objects.filter(action="key.revoked").count() == 1

    def test_does_not_reach_another_organisation(self, house: House) -> None:
        house.secret()
        key_id = ApiKey.objects.get().id

        with pytest.raises(NoSuchKey):
            keys.revoke(actor=house.stranger, key_id=key_id, now=house.now)
        with pytest.raises(NoSuchKey):
            keys.revoke(actor=house.owner, key_id=ids.new(), now=house.now)

        assert ApiKey.objects.get().revoked_at is None


class TestNoteUse:
    def test_writes_at_most_once_a_minute(self, house: House) -> None:
        house.secret()
        key_id = ApiKey.objects.get().id
        seen = []

        for seconds in (0, 30, 59, 61):
            keys.note_use(key_id, now=house.now + timedelta(seconds=seconds))
            seen.append(ApiKey.objects.get().last_used_at - house.now)

        assert seen == [timedelta(0), timedelta(0), timedelta(0), timedelta(seconds=61)]
