"""What a person who is logged in is offered, and what comes of it. Replay and skip by themselves
are in test_security.py."""

import html
import json
import re

import pytest

from triggers_core import Status
from triggers_web.guard import FORM_FIELD

CLOSE = {"after": ["t_check", "signed"], "run": "works"}


def address(name):
    return f"/instance?session=permit+7&name={name.replace('#', '%23')}"


def seen(client, name):
    response = client.get(address(name))
    assert response.status_code == 200
    return html.unescape(response.text)


def forms(client, name):
    """Return the forms of an instance's page: path → names of its fields."""
    text = seen(client, name).partition('aria-label="Actions"')[2]
    return {
        action: re.findall(r'name="(\w+)"', body)
        for action, body in re.findall(r'action="(\w+)">(.*?)</form>', text, re.S)
    }


def send(client, action, name, **fields):
    key = re.search(f'name="{FORM_FIELD}" value="(\\w+)"', client.get("/").text)[1]
    hidden = {FORM_FIELD: key, "session": "permit 7", "name": name, "sure": "on"}
    return client.post(f"/{action}", data={**hidden, **fields})


@pytest.fixture
def outdated(permit):
    """Give the session, in which t_advise#0 waits by directives that are not the present ones."""
    permit.update_configuration({"t_advise": {"after": ["t_check", "asked"], "run": "works"}})
    return permit


def test_what_is_offered_is_what_can_be_done(logged_in, permit, runner):
    assert set(forms(logged_in, "t_close#0")) == {"replay", "skip", "resolve"}
    assert set(forms(logged_in, "t_advise#0")) == {"abandon"}
    assert set(forms(logged_in, "t_check#0")) == set()
    permit.fire("neighbour")
    assert permit.instance("t_advise#0").status is Status.SCHEDULED
    assert set(forms(logged_in, "t_advise#0")) == {"abandon"}


def test_what_is_outdated_can_be_taken_over(logged_in, outdated):
    assert set(forms(logged_in, "t_advise#0")) == {"reconfigure", "abandon"}


def test_each_form_asks_why_and_who(logged_in, permit):
    for name in ("t_close#0", "t_advise#0"):
        for fields in forms(logged_in, name).values():
            assert {"reason", "by", "session", "name", FORM_FIELD} <= set(fields)


def test_who_is_not_logged_in_is_told_what_could_be_done(acting, outdated):
    assert forms(acting, "t_advise#0") == {}
    assert "to take over, abandon it." in seen(acting, "t_advise#0")
    assert "to replay, skip, resolve it." in seen(acting, "t_close#0")


def test_where_nobody_may_act_nothing_is_offered(client, permit):
    assert "abandon" not in seen(client, "t_advise#0").partition("How it stands")[0]
    assert forms(client, "t_advise#0") == {}


def test_what_waits_is_abandoned(logged_in, permit):
    response = send(logged_in, "abandon", "t_advise#0", reason="nobody to ask", by="Ada")

    assert response.status_code == 303
    assert response.headers["location"] == "instance?session=permit+7&name=t_advise%230"
    abandoned = permit.instance("t_advise#0")
    assert abandoned.status is Status.ABANDONED
    assert (abandoned.metadata["reason"], abandoned.metadata["by"]) == ("nobody to ask", "Ada")
    assert "by Ada: nobody to ask" in seen(logged_in, "t_advise#0")
    assert "by Ada: nobody to ask" in logged_in.get("/session?uid=permit+7").text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "t_advise#0, reason: expected a few words, as a str, not None"),
        ({"reason": ""}, "t_advise#0, reason: expected a few words"),
        ({"reason": "ok", "by": "two\nlines"}, "t_advise#0, by: 'two\\nlines' holds a character"),
        ({"reason": "x" * 1001}, "t_advise#0, reason: has 1001 characters"),
    ],
)
def test_what_cannot_be_kept_is_told_and_what_was_typed_stays(logged_in, permit, fields, message):
    response = send(logged_in, "abandon", "t_advise#0", **fields)

    assert response.status_code == 400
    text = html.unescape(response.text)
    assert message in text
    assert f'name="reason" value="{fields.get("reason", "")}"' in text
    assert permit.instance("t_advise#0").status is Status.UNSTARTED


@pytest.mark.parametrize("action", ["replay", "skip", "resolve"])
def test_why_and_who_is_kept(logged_in, permit, action):
    assert send(logged_in, action, "t_close#0", reason="paid in cash", by="").status_code == 303

    metadata = permit.instance("t_close#0").metadata
    assert metadata["reason"] == "paid in cash"
    assert "by" not in metadata


def test_what_is_resolved_stays_failed_and_is_not_offered_again(logged_in, permit):
    send(logged_in, "resolve", "t_close#0")

    assert permit.instance("t_close#0").status is Status.FAILED
    assert permit.unresolved_instances() == []
    assert set(forms(logged_in, "t_close#0")) == {"replay", "skip"}


def test_what_waits_is_taken_over(logged_in, outdated, runner):
    outdated.fire("asked")

    response = send(logged_in, "reconfigure", "t_advise#0")

    assert response.headers["location"] == "instance?session=permit+7&name=t_advise%230"
    assert [instance.name for _, instance in runner.held] == ["t_advise#0"]
    assert outdated.instance("t_advise#0").status is Status.SCHEDULED


def test_what_is_not_unstarted_cannot_be_taken_over(logged_in, outdated):
    response = send(logged_in, "reconfigure", "t_close#0")

    assert response.status_code == 409
    assert "only an unstarted one" in response.text


def test_a_task_that_was_taken_out_can_still_be_looked_at(client, permit):
    permit.update_configuration({}, retire=["t_advise"])

    page = html.unescape(client.get("/task?session=permit+7&name=t_advise").text)

    assert "t_advise#0 waits since" in page
    assert "was taken out of the session's configuration" in page
    assert '"andEvery": "neighbour"' in page
    assert client.get(address("t_advise#0")).status_code == 200


def test_a_hostile_reason_is_text(logged_in, permit):
    send(logged_in, "abandon", "t_advise#0", reason="<script>alert(1)</script>", by='"><b>')

    for page in (address("t_advise#0"), "/session?uid=permit+7"):
        assert "<script>alert" not in logged_in.get(page).text
        assert "<b>" not in logged_in.get(page).text


@pytest.mark.parametrize(("action", "name"), [("skip", "t_close#0"), ("abandon", "t_advise#0")])
def test_what_cannot_be_taken_back_is_asked_for_first(logged_in, permit, action, name):
    before = permit.instance(name)
    form = seen(logged_in, name).partition(f'action="{action}">')[2].partition("</form>")[0]

    key = re.search(f'name="{FORM_FIELD}" value="(\\w+)"', logged_in.get("/").text)[1]
    fields = {FORM_FIELD: key, "session": "permit 7", "name": name, "reason": "a slip"}
    unsure = logged_in.post(f"/{action}", data=fields)

    assert '<input type="checkbox" name="sure" required>' in form
    assert '<button class="do final">' in form
    assert unsure.status_code == 400
    assert "mark that you are sure" in html.unescape(unsure.text)
    assert permit.instance(name) == before


def test_what_was_counted_is_not_offered_to_be_replaced_and_is_replayed(logged_in, permit):
    counting = {"after": ["t_check", {"each": "page", "times": 2}], "run": "breaks"}
    permit.update_configuration({"t_read": counting})
    permit.fire_many([("page", {"n": 1}), ("page", {"n": 2})])
    permit.plugins.runner("held").work()
    assert permit.instance("t_read#0").status is Status.FAILED

    text = seen(logged_in, "t_read#0")
    (kwargs,) = re.findall(r'<textarea id="kwargs".*?>\n(.*?)</textarea>', text, re.S)
    assert set(json.loads(kwargs)) == {"t_check"}
    assert send(logged_in, "replay", "t_read#0", kwargs=kwargs).status_code == 303
    assert permit.instance("t_read#1").counts == {"page": 2}
