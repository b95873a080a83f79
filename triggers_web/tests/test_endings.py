"""A session that is cancelled or closed by a person who is logged in, and how it is shown then."""

import html
import re

import pytest

from triggers_core import Status
from triggers_web.guard import FORM_FIELD

from .conftest import TOKEN

SESSION = "/session?uid=permit+7"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
FIELDS = {"session": "permit 7", "sure": "on"}


def text_of(client, address=SESSION):
    response = client.get(address)
    assert response.status_code == 200
    return html.unescape(response.text)


def send(client, how, **fields):
    key = re.search(f'name="{FORM_FIELD}" value="(\\w+)"', client.get("/").text)[1]
    return client.post(f"/{how}", data={FORM_FIELD: key, **FIELDS, **fields})


def offered(client):
    return re.findall(r'action="(cancel|close)">', text_of(client))


@pytest.fixture
def active(permit):
    """Give the session while something in it is scheduled."""
    permit.fire("neighbour")
    return permit


def test_what_is_offered_is_what_can_be_done(logged_in, permit):
    assert offered(logged_in) == ["cancel", "close"]
    permit.fire("neighbour")
    assert offered(logged_in) == ["cancel"]
    permit.cancel()
    assert offered(logged_in) == []


def test_who_is_not_logged_in_is_told_what_could_be_done(acting, permit):
    assert offered(acting) == []
    assert "to cancel or close this session." in text_of(acting)


def test_where_nobody_may_act_nothing_is_offered(client, permit):
    assert offered(client) == []
    assert "this session." not in text_of(client)
    for how in ("cancel", "close"):
        assert client.post(f"/{how}", data=FIELDS, headers=BEARER).status_code in {404, 405}
    assert permit.closing() is None


def test_it_is_cancelled(logged_in, active):
    response = send(logged_in, "cancel", reason="withdrawn", by="Ada")

    assert response.status_code == 303
    assert response.headers["location"] == "session?uid=permit+7"
    closing = active.closing()
    assert (closing.how, closing.reason, closing.by) == ("cancelled", "withdrawn", "Ada")
    assert active.instance("t_advise#0").status is Status.ABANDONED
    page = text_of(logged_in)
    assert "This session was cancelled at" in re.sub("<.*?>", "", page)
    assert "by Ada: withdrawn" in page


def test_it_is_closed(logged_in, permit):
    assert send(logged_in, "close", reason="", by="").status_code == 303
    assert (permit.closing().how, permit.closing().reason) == ("closed", None)
    assert "closed at" in text_of(logged_in)


def test_while_something_is_under_way_it_is_not_closed(logged_in, active):
    response = send(logged_in, "close")

    assert response.status_code == 409
    assert "t_advise#0 is scheduled" in response.text
    assert active.closing() is None


def test_to_do_it_twice_is_no_error(logged_in, permit):
    send(logged_in, "cancel", by="Ada")
    assert send(logged_in, "close", by="Bo").status_code == 303
    assert permit.closing().by == "Ada"


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_what_cannot_be_taken_back_is_asked_for_first(logged_in, permit, how):
    form = text_of(logged_in).partition(f'action="{how}">')[2].partition("</form>")[0]
    key = re.search(f'name="{FORM_FIELD}" value="(\\w+)"', logged_in.get("/").text)[1]
    unsure = logged_in.post(f"/{how}", data={FORM_FIELD: key, "session": "permit 7", "by": "Ada"})

    assert '<input type="checkbox" name="sure" required>' in form
    assert '<button class="do final">' in form
    assert unsure.status_code == 400
    page = html.unescape(unsure.text)
    assert "mark that you are sure" in page
    assert 'name="by" value="Ada"' in page
    assert permit.closing() is None


@pytest.mark.parametrize("how", ["cancel", "close"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_nobody_does_it_without_the_token(acting, permit, how, headers):
    assert acting.post(f"/{how}", data=FIELDS, headers=headers).status_code == 403
    assert permit.closing() is None


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_it_needs_more_than_the_cookie(logged_in, permit, how):
    assert logged_in.post(f"/{how}", data=FIELDS).status_code == 403
    assert send(logged_in, how, **{FORM_FIELD: "0" * 64}).status_code == 403
    assert permit.closing() is None


def test_what_another_site_sends_is_refused(acting, permit):
    headers = {**BEARER, "Origin": "https://evil.example"}
    assert acting.post("/cancel", data=FIELDS, headers=headers).status_code == 403
    assert permit.closing() is None


def test_a_program_does_it_with_the_token_in_its_header(acting, permit):
    assert acting.post("/cancel", data=FIELDS, headers=BEARER).status_code == 303
    assert permit.closing() is not None


@pytest.mark.parametrize("session", ["", "nobody"])
def test_a_session_that_is_not_there_is_told(logged_in, permit, session):
    assert send(logged_in, "cancel", session=session).status_code == 404


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_reason_that_cannot_be_kept_is_told_and_what_was_typed_stays(logged_in, permit, how):
    response = send(logged_in, how, reason="x" * 1001, by="Ada")
    assert response.status_code == 400
    assert "reason: has 1001 characters" in response.text
    assert 'name="by" value="Ada"' in response.text
    assert permit.closing() is None


def test_a_hostile_reason_is_text(logged_in, permit):
    send(logged_in, "cancel", reason="<script>alert(1)</script>", by='"><b>')
    for address in ("/", SESSION, "/task?session=permit+7&name=t_archive"):
        assert "<script>alert" not in logged_in.get(address).text
        assert "<b>" not in logged_in.get(address).text


def test_no_instance_of_a_closed_session_offers_what_would_be_refused(logged_in, permit):
    permit.cancel()
    page = logged_in.get("/instance?session=permit+7&name=t_close%230").text
    assert re.findall(r'action="(\w+)">', page.partition('aria-label="Actions"')[2]) == ["resolve"]


def test_what_is_sent_all_the_same_is_told(logged_in, permit):
    permit.cancel(by="Ada")
    response = send(logged_in, "replay", name="t_close#0")
    assert response.status_code == 409
    assert "was cancelled by Ada" in response.text


def test_the_pages_say_that_it_is_over(client, permit):
    permit.cancel(reason="withdrawn", by="Ada")
    assert ">cancelled</span>" in text_of(client, "/")
    for address in (
        "/task?session=permit+7&name=t_archive",
        "/instance?session=permit+7&name=t_close%230",
    ):
        page = text_of(client, address)
        assert "the session was cancelled at" in page
        assert "by Ada: withdrawn; nothing in it begins" in page
