"""What there is to see, and that nothing which a session holds is more than text."""

import re
from html.parser import HTMLParser

import pytest

from triggers_core import Status
from triggers_core.errors import StorageError
from triggers_core.insight.graph import COLOURS
from triggers_web import app as web

HOSTILE = """<script>alert(1)</script>"'&amp; {{ 7919 * 7919 }} ../..?a=b%23c%2f;ü漢"""


WITHOUT_END = {"meta", "link", "input", "img"}


class Page(HTMLParser):
    """A page's links, elements and text, as a browser would have them."""

    def __init__(self, response):
        super().__init__()
        self.tags, self.links, self.texts = [], {}, []
        self._link = None
        self._open = []
        self.feed(response.text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in WITHOUT_END:
            self._open.append(tag)
        if tag == "a":
            self._link = dict(attributes)["href"]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())
        if self._link and data.strip():
            self.links.setdefault(data.strip(), self._link)
            self._link = None

    @property
    def text(self):
        return "\n".join(self.texts)


def see(client, address, code=200):
    response = client.get(address)
    assert response.status_code == code, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Page(response)


def session_links(page):
    return [name for name, href in page.links.items() if href.startswith("session?")]


def test_sessions_are_listed_newest_first_with_their_counts(client, make_session):
    make_session("first")
    make_session("second", ("applied",))

    page = see(client, "/")

    assert session_links(page) == ["second", "first"]
    assert {"2 unstarted", "1 finished"} <= set(page.texts)


def test_an_empty_store_says_so(client):
    assert "There are no sessions yet." in see(client, "/").texts


def test_sessions_are_found_by_a_part_of_the_uid_in_any_case(client, make_session):
    for uid in ("Permit 1", "permit 2", "order 1"):
        make_session(uid)

    assert session_links(see(client, "/?q=PERMIT")) == ["permit 2", "Permit 1"]
    assert "No session is called that." in see(client, "/?q=%25").texts


def test_sessions_come_by_the_page(client, make_session, monkeypatch):
    monkeypatch.setattr(web, "SESSIONS_A_PAGE", 2)
    for number in range(5):
        make_session(f"s{number}")
    make_session("other")

    pages = [session_links(see(client, f"/?q=s&page={number}")) for number in (1, 2, 3, 4)]

    assert pages == [["s4", "s3"], ["s2", "s1"], ["s0"], []]
    assert see(client, "/?q=s&page=2").links["On →"] == "./?q=s&page=3"
    assert see(client, "/?q=s&page=2").links["← Back"] == "./?q=s&page=1"
    assert "On →" not in see(client, "/?q=s&page=3").links


def test_a_session_has_the_graph_with_each_tasks_state(client, permit):
    page = see(client, "/session?uid=permit%207")

    nodes = {
        attributes["href"].rpartition("=")[2]: attributes["class"]
        for tag, attributes in page.tags
        if tag == "a" and "node" in attributes.get("class", "")
    }
    assert nodes == {
        "t_check": "node finished",
        "t_close": "node failed",
        "t_advise": "node unstarted",
        "t_archive": "node idle",
    }
    fired = [a["class"] for tag, a in page.tags if tag == "g" and a.get("class")]
    assert fired == [
        "node trigger fired", "node trigger fired", "node trigger", "node trigger", "node trigger"
    ]  # fmt: skip
    edges = [a["class"] for tag, a in page.tags if a.get("class", "").startswith("edge ")]
    assert sorted(edges) == sorted(["edge after"] * 6 + ["edge unless", "edge andEvery"])


def test_a_session_has_a_table_of_its_instances(client, permit):
    page = see(client, "/session?uid=permit%207")

    assert page.links["t_close#0"] == "instance?session=permit+7&name=t_close%230"
    assert "ValueError: no such account" in page.texts
    assert "neighbour" in page.texts


def test_instances_can_be_looked_at_by_status(client, permit):
    page = see(client, "/session?uid=permit%207&status=failed")

    assert "t_close#0" in page.links
    assert "t_check#0" not in page.links


def test_instances_come_by_the_page(client, permit, runner, monkeypatch):
    monkeypatch.setattr(web, "INSTANCES_A_PAGE", 3)
    for _ in range(3):
        permit.fire("neighbour")
    runner.work()

    first = see(client, "/session?uid=permit+7")
    second = see(client, "/" + first.links["On →"])

    names = [[name for name in page.links if "#" in name] for page in (first, second)]
    assert names == [["t_advise#0", "t_advise#1", "t_advise#2"], ["t_check#0", "t_close#0"]]
    assert "4–5 of 5" in second.texts


def test_a_graph_that_is_too_large_is_told_and_not_drawn(client, permit, monkeypatch):
    monkeypatch.setattr("triggers_web.layout.MOST_POINTS", 5)

    page = see(client, "/session?uid=permit+7")

    assert "too large" in page.text
    assert "t_close#0" in page.links


def test_a_task_says_why_it_has_not_run_down_to_what_failed(client, permit):
    page = see(client, "/task?session=permit+7&name=t_archive")

    assert "t_archive has not begun: none of its triggers has fired" in page.texts
    assert "waits for 'paper_in', which has not fired" in page.texts
    assert "ValueError: no such account" in page.text
    assert "Traceback (most recent call last):" in page.text


def test_what_would_abandon_an_instance_is_told_from_what_it_needs(client, make_session):
    lend = {"after": ["asked", "signed"], "unless": ["withdrawn"], "run": "works"}
    make_session("loan 7", ("asked",), configuration={"t_lend": lend})

    page = client.get("/task?session=loan+7&name=t_lend").text

    (cells,) = re.findall("<tr>(.*?)</tr>", page.partition("<tbody>")[2], re.DOTALL)
    assert "signed; unless withdrawn" in re.sub("<[^>]*>", "", cells)


def test_an_instance_says_when_it_was_scheduled_started_and_ended(client, permit):
    page = see(client, "/instance?session=permit+7&name=t_check%230")

    assert {"Scheduled (UTC)", "Started (UTC)", "Ended (UTC)", "Queued for", "Ran for"} <= set(
        page.texts
    )
    assert '"times"' not in page.text


def test_an_instance_has_its_kwargs_its_traceback_and_its_result(client, permit):
    failed = see(client, "/instance?session=permit+7&name=t_close%230").text
    finished = see(client, "/instance?session=permit+7&name=t_check%230").text

    assert '"amount": 40' in failed
    assert '"currency": "EUR"' in failed  # the default of withParams
    assert 'raise ValueError(context.trigger_kwargs["fee_paid"]' in failed
    assert '"by": "t_check#0"' in finished


def test_an_instance_links_to_what_it_replays_and_is_replayed_by(client, permit):
    clone = permit.replay_failed_instance("t_close#0")

    first = see(client, "/instance?session=permit+7&name=t_close%230")
    second = see(client, "/instance?session=permit+7&name=t_close%231")

    assert clone.name in first.links
    assert "t_close#0" in second.links


def test_a_session_of_a_manager_that_is_not_installed_can_be_read(client, permit, plugins):
    plugins.managers.remove("held")

    assert "t_close#0" in see(client, "/session?uid=permit+7").links


@pytest.mark.parametrize(
    "address",
    [
        "/session",
        "/session?uid=",
        "/session?uid=nobody",
        "/session?uid=%00",
        "/session?uid=" + "x" * 300,
        "/session?uid=permit+7&page=0",
        "/session?uid=permit+7&page=99999999999999999999",
        "/session?uid=permit+7&page=%D9%A1",
        "/session?uid=permit+7&status=asleep",
        "/task?session=permit+7",
        "/task?session=permit+7&name=t_nothing",
        "/task?session=permit+7&name=t_close%230",
        "/task?session=nobody&name=t_close",
        "/instance?session=permit+7&name=t_close",
        "/instance?session=permit+7&name=t_close%2399",
        "/instance?session=nobody&name=t_close%230",
        "/?page=-1",
        "/nothing",
        "/static/nothing.css",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(client, permit, address):
    page = see(client, address, code=404)

    assert "Not Found" in page.texts
    assert page.links["All sessions"] == "./"


def test_a_store_that_cannot_be_read_is_told(client, storage, monkeypatch):
    def fail():
        raise StorageError("the disk is gone")

    monkeypatch.setattr(storage, "sessions", fail)

    assert "the disk is gone" in see(client, "/", code=503).texts


def test_an_error_of_the_server_tells_nothing_of_it(client, storage, monkeypatch):
    def fail():
        raise RuntimeError("a secret")

    monkeypatch.setattr(storage, "sessions", fail)

    page = see(client, "/", code=500)
    assert "a secret" not in page.text


def hostile_session(make_session, runner, uid):
    manager = make_session(
        uid,
        configuration={
            HOSTILE: {"after": ["fee_paid"], "unless": [HOSTILE + "2"], "run": "breaks"},
            "waits": {"after": [HOSTILE, HOSTILE + "3"], "run": "works"},
        },
    )
    manager.fire("fee_paid", {"reason": HOSTILE, HOSTILE: [HOSTILE, "\ud800", "\x00\u202e"]})
    runner.work()
    return manager


@pytest.mark.parametrize("uid", [HOSTILE, "..", "/", "a/../b", "?", "#", "%00", "a&uid=b", "+ +"])
def test_hostile_names_and_kwargs_are_text_on_every_page(client, make_session, runner, uid):
    hostile_session(make_session, runner, uid)
    found, seen = ["/"], set()
    while found:
        address = found.pop()
        seen.add(address)
        page = see(client, address)
        scripts = [attributes for tag, attributes in page.tags if tag == "script"]
        assert all(attributes == {"src": "static/live.js", "defer": None} for attributes in scripts)
        assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
        assert "62710561" not in page.text
        found += {
            f"/{href}" for _, a in page.tags if (href := a.get("href", "")).startswith(
                ("session?", "task?", "instance?")
            )
        } - seen - set(found)  # fmt: skip

    kinds = {re.match(r"/(\w*)", address)[1] for address in seen}
    assert kinds == {"", "session", "task", "instance"}


def test_a_hostile_session_reads_as_it_is_called(client, make_session, runner):
    hostile_session(make_session, runner, HOSTILE)

    page = see(client, "/" + see(client, "/").links[HOSTILE])

    assert HOSTILE in page.texts
    instance = see(client, "/" + page.links[f"{HOSTILE}#0"])
    assert f"ValueError: {HOSTILE}" in instance.text
    assert r"\ud800" in instance.text


def test_no_address_on_a_page_leads_elsewhere(client, permit):
    for address in (
        "/",
        "/session?uid=permit+7",
        "/task?session=permit+7&name=t_close",
        "/instance?session=permit+7&name=t_close%230",
    ):
        for _, attributes in see(client, address).tags:
            for name in ("href", "src", "action"):
                assert not re.match(r"\w+:|//|/", attributes.get(name, ""))


def test_what_a_page_needs_is_served(client, permit):
    needed = {
        attributes.get("href") or attributes.get("src")
        for tag, attributes in see(client, "/session?uid=permit+7").tags
        if tag in {"link", "script", "img"}
    }

    assert needed == {"static/app.css", "static/live.js", "static/icon.svg"}
    for address in needed:
        assert client.get(f"/{address}").status_code == 200


def test_the_colours_are_those_of_the_other_pictures(client):
    light = client.get("/static/app.css").text.partition("@media")[0]

    assert (
        dict(re.findall(r"--(\w+): (#\w{6});", light)).items()
        >= {status.value: COLOURS[status] for status in Status}.items()
    )


@pytest.mark.parametrize(
    ("length", "end"),
    [
        (40, "waits for 'start', which has not fired"),
        (500, "t448: and so on; ask why of it by itself"),
    ],
)
def test_a_chain_of_any_length_is_explained(client, make_session, length, end):
    names = [f"t{number}" for number in range(length)]
    make_session(
        "chain",
        configuration={
            name: {"after": [before], "run": "works"}
            for before, name in zip(["start", *names], names, strict=False)
        },
    )

    page = see(client, f"/task?session=chain&name={names[-1]}")

    assert end in page.texts


def test_conditions_are_drawn_told_and_counted(client, make_session):
    each = {"each": "photo", "times": {"from": "listed", "key": "count"}}
    after = [{"any": ["card", "transfer"]}, each]
    configuration = {"t_decide": {"after": after, "run": "works"}}
    make_session("case", ("photo",), ("photo",), configuration=configuration)

    photos = "2 photo (listed has not said how many yet)"

    page = see(client, "/session?uid=case")
    assert {"one of card, transfer", photos} <= set(page.texts)
    assert {"any", "count ×", "condition", "says how often"} <= set(page.texts)
    assert "t_decide: after any" in page.texts
    assert "count ×: times listed" in page.texts

    page = see(client, "/instance?session=case&name=t_decide%230")
    assert page.texts[page.texts.index("Counted") : page.texts.index("Counted") + 3] == [
        "Counted", "photo", "2"
    ]  # fmt: skip
    assert f"has {photos}" in page.texts
