"""Who may act for an organisation: invited, changed and removed by its owners only."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from django.core import mail
from django.test import Client

from accounts.kernel import ids
from accounts.models import AuditEvent, Member, User
from accounts.selectors import actors
from accounts.services import members, outbox
from tests.accounts.conftest import House, committed, together


def invite(house: House, email: str = "new@example.com", role: str = "trader") -> members.Invited:
    return members.invite(actor=house.owner, email=email, role=role, now=house.now)


def mine(house: House, user: User) -> UUID:
    return Member.objects.get(user=user, organisation_id=house.own_id).id


class TestInvite:
    def test_makes_a_member_once_and_writes_it_down(self, house: House) -> None:
        invited = invite(house, " New@Example.com ")

        assert invited.is_new
        assert Member.objects.get(id=invited.member_id).user.email == "new@example.com"
        with pytest.raises(members.MemberAlready):
            invite(house)
        event = AuditEvent.objects.get(action="member.added")
        assert (event.subject, event.detail) == (
            ids.encode("mem", invited.member_id), {"email": "new@example.com", "role": "trader"},
        )  # fmt: skip

    def test_a_new_person_chooses_a_password_by_the_mails_link(self, house: House, client: Client) -> None:
        invite(house)
        outbox.relay(now=house.now)

        (message,) = mail.outbox
        assert message.to == ["new@example.com"] and "Harbour" in message.subject
        path = re.search(r"https?://[^/\s]+(/accounts/password/reset/key/\S+)", message.body)[1]
        form = client.get(path, follow=True)
        chosen = client.post(form.redirect_chain[-1][0], {"password1": "long-enough-92", "password2": "long-enough-92"})
        assert chosen.status_code == 302
        assert (
            client.post("/accounts/login/", {"login": "new@example.com", "password": "long-enough-92"}).status_code
            == 302
        )
        assert client.get("/orders/").status_code == 200

    def test_a_person_with_a_sign_in_joins_and_keeps_it(self, house: House) -> None:
        known = house.member("trader", organisation_id=house.other_id)

        invited = invite(house, known.email)
        outbox.relay(now=house.now)

        assert (invited.user_id, invited.is_new) == (known.id, False)
        assert "password/reset" not in mail.outbox[0].body
        assert actors.for_user(known).organisation_id == house.other_id  # what was joined first stays first

    def test_whose_member_was_removed_again_gets_no_mail(self, house: House) -> None:
        invited = invite(house)
        members.remove(actor=house.owner, member_id=invited.member_id, now=house.now)

        outbox.relay(now=house.now)

        assert mail.outbox == []

    @pytest.mark.parametrize(("change", "error"), [
        ({"email": "no address"}, members.BadAddress),
        ({"role": "king"}, members.UnknownRole),
    ])  # fmt: skip
    def test_of_nonsense_changes_nothing(self, house: House, change: dict[str, str], error: type[Exception]) -> None:
        with pytest.raises(error):
            invite(house, **change)
        assert not Member.objects.filter(organisation_id=house.own_id).exists()

    @pytest.mark.parametrize("role", ["trader", "provider", "finance", "viewer"])
    def test_is_for_owners_only(self, house: House, role: str) -> None:
        actor = actors.for_user(house.member(role))
        with pytest.raises(members.MembersForbidden):
            members.invite(actor=actor, email="new@example.com", role="viewer", now=house.now)

    def test_gives_no_right_that_the_giver_lacks(self, house: House) -> None:
        response = house.api("members:write").post(
            "/api/v1/members", {"email": "new@example.com", "role": "owner"}, content_type="application/json"
        )
        assert (response.status_code, response.json()["code"]) == (403, "scope_missing")


class TestChange:
    def test_of_a_role_counts_from_the_next_request(self, house: House) -> None:
        user = house.member("viewer")
        house.member("owner")

        members.change_role(actor=house.owner, member_id=mine(house, user), role="trader", now=house.now)

        assert actors.for_user(user).can("orders:write")

    def test_the_last_owner_stays(self, house: House) -> None:
        only = mine(house, house.member("owner"))

        for act in (
            lambda: members.change_role(actor=house.owner, member_id=only, role="viewer", now=house.now),
            lambda: members.remove(actor=house.owner, member_id=only, now=house.now),
        ):
            with pytest.raises(members.LastOwner):
                act()

    def test_a_removed_member_is_out_at_once(self, house: House) -> None:
        browser = house.signed_in("trader")
        house.member("owner")
        assert browser.get("/orders/").status_code == 200

        member = Member.objects.get(organisation_id=house.own_id, role="trader")
        members.remove(actor=house.owner, member_id=member.id, now=house.now)

        assert browser.get("/orders/").status_code == 403

    def test_a_strangers_member_does_not_exist(self, house: House) -> None:
        foreign = house.member("owner", organisation_id=house.other_id)
        member = Member.objects.get(user=foreign)
        with pytest.raises(members.NoSuchMember):
            members.remove(actor=house.owner, member_id=member.id, now=house.now)
        assert house.api("members:write").delete(f"/api/v1/members/{ids.encode('mem', member.id)}").status_code == 404


@pytest.mark.django_db
def test_two_owners_cannot_remove_each_other(committed_house: House) -> None:
    first, second = committed(lambda: [mine(committed_house, committed_house.member("owner")) for _ in range(2)])

    def remove(member_id: UUID) -> None:
        members.remove(actor=committed_house.owner, member_id=member_id, now=committed_house.now)

    found = together([lambda m=m: remove(m) for m in (first, second)])

    assert sorted(type(one).__name__ for one in found) == ["LastOwner", "NoneType"]
    assert committed(lambda: Member.objects.filter(organisation_id=committed_house.own_id, role="owner").count()) == 1


class TestPage:
    def test_invites_changes_and_removes(self, house: House) -> None:
        browser = house.signed_in("owner")

        sent = browser.post("/settings/members/", {"email": "new@example.com", "role": "viewer"}, follow=True)
        assert "new@example.com" in sent.content.decode()
        public_id = ids.encode("mem", Member.objects.get(user__email="new@example.com").id)
        browser.post(f"/settings/members/{public_id}/role/", {"role": "finance"})
        assert Member.objects.get(user__email="new@example.com").role == "finance"
        browser.post(f"/settings/members/{public_id}/remove/")
        assert not Member.objects.filter(user__email="new@example.com").exists()

    @pytest.mark.parametrize("form", [{"email": "x", "role": "viewer"}, {"email": "a@b.example", "role": "king"}, {}])
    def test_shows_what_is_wrong_beside_the_field(self, house: House, form: dict[str, Any]) -> None:
        answer = house.signed_in("owner").post("/settings/members/", form)
        assert answer.status_code == 422
        assert 'class="error"' in answer.content.decode()

    def test_the_last_owner_is_told_why(self, house: House) -> None:
        browser = house.signed_in("owner")
        public_id = ids.encode("mem", Member.objects.get(organisation_id=house.own_id).id)
        told = browser.post(f"/settings/members/{public_id}/remove/", follow=True).content.decode()
        assert "keeps at least one owner" in told

    def test_is_for_owners_only(self, house: House) -> None:
        assert house.signed_in("finance").get("/settings/members/").status_code == 403


def test_the_api_lists_invites_changes_and_removes(house: House) -> None:
    api = house.api("members:write", "market:read", "orders:read", "offers:read", "usage:read")
    made = api.post("/api/v1/members", {"email": "new@example.com", "role": "viewer"}, content_type="application/json")
    assert made.status_code == 201
    url = f"/api/v1/members/{made.json()['id']}"
    refused = api.patch(url, {"role": "viewer", "x": 1}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (400, "unknown_field")
    assert api.patch(url, {"role": "viewer"}, content_type="application/json").json()["role"] == "viewer"
    assert [one["email"] for one in api.get("/api/v1/members").json()["data"]] == ["new@example.com"]
    assert api.delete(url).status_code == 204
    assert api.get("/api/v1/members").json() == {"data": [], "next": None}
