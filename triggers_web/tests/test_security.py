"""Who may do what: nothing without the token, and nothing by way of another site."""

import re

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from triggers_core import Status
from triggers_web.guard import (
    FORM_FIELD,
    LARGEST_FORM,
    Guard,
    answered_hosts,
    host_in_url,
    is_loopback,
)

TOKEN = "the-token-of-this-test"
ACTION = {"session": "permit 7", "name": "t_close#0"}
INSTANCE = "/instance?session=permit+7&name=t_close%230"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATHS = ["/replay", "/skip", "/resolve", "/reconfigure", "/abandon", "/cancel", "/close"]


def form_key(client):
    return re.search(f'name="{FORM_FIELD}" value="(\\w+)"', client.get(INSTANCE).text)[1]


def form(client, **fields):
    return {**ACTION, FORM_FIELD: form_key(client), "sure": "on", **fields}


@pytest.mark.parametrize("path", ["/login", "/logout", *PATHS])
def test_without_actions_there_is_nothing_to_act_with(client, permit, path):
    assert client.post(path, data=ACTION, headers=BEARER).status_code == 404
    assert "Log in" not in client.get(INSTANCE).text
    assert permit.instance("t_close#0").status is Status.FAILED


@pytest.mark.parametrize("path", ["/", "/session", "/task", "/instance", "/static/app.css"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_page_is_only_read(acting, path, method):
    assert acting.request(method, path).status_code == 405


@pytest.mark.parametrize("path", [*PATHS, "/logout"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_is_done_by_following_a_link(logged_in, path, method):
    assert logged_in.request(method, path, params=ACTION).status_code == 405


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": f"triggers={TOKEN}"},
    ],
)
def test_nobody_acts_without_the_token(acting, permit, path, headers):
    response = acting.post(path, data=ACTION, headers=headers)

    assert response.status_code == 403
    assert permit.instance("t_close#0").status is Status.FAILED


@pytest.mark.parametrize("token", ["", "wrong", TOKEN.upper(), f"{TOKEN}\ud800", "x" * 10_000])
def test_a_wrong_token_logs_nobody_in(acting, token):
    response = acting.post(
        "/login",
        content=f"token={token}".encode("utf-8", "surrogatepass"),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert response.status_code in {400, 403}
    assert "set-cookie" not in response.headers
    assert "Replay" not in acting.get(INSTANCE).text


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_is_not_the_token(acting):
    cookie = acting.post("/login", data={"token": TOKEN}).headers["set-cookie"]

    name_and_value, *attributes = cookie.split("; ")
    assert {"HttpOnly", "SameSite=strict"} <= set(attributes)
    assert not any(attribute.startswith(("Max-Age", "Domain")) for attribute in attributes)
    assert TOKEN not in name_and_value


def test_over_https_the_cookie_is_secure(make_client):
    client = make_client(TOKEN)
    client.base_url = "https://127.0.0.1"

    assert "Secure" in client.post("/login", data={"token": TOKEN}).headers["set-cookie"]


def test_two_servers_on_one_machine_keep_their_cookies_apart(make_client):
    cookies = [
        make_client(token).post("/login", data={"token": token}).headers["set-cookie"]
        for token in ("one", "two")
    ]

    assert len({cookie.partition("=")[0] for cookie in cookies}) == 2


def test_who_is_logged_in_can_replay_with_other_kwargs(logged_in, permit, runner):
    kwargs = '{"fee_paid": {"amount": 41}}'

    response = logged_in.post("/replay", data=form(logged_in, kwargs=kwargs))

    assert response.status_code == 303
    assert response.headers["location"] == "instance?session=permit+7&name=t_close%231"
    assert permit.instance("t_close#0").status is Status.REPLAYED
    assert permit.instance("t_close#1").trigger_kwargs["fee_paid"] == {"amount": 41}
    assert [instance.name for _, instance in runner.held] == ["t_close#1"]


def test_the_form_offers_the_kwargs_as_they_were(logged_in, permit):
    offered = re.search(
        r'name="kwargs"[^>]*>\n(.*?)</textarea>', logged_in.get(INSTANCE).text, re.S
    )

    logged_in.post("/replay", data=form(logged_in, kwargs=offered[1].replace("&#34;", '"')))

    old, new = permit.instance("t_close#0"), permit.instance("t_close#1")
    assert new.trigger_kwargs == old.trigger_kwargs


def test_who_is_logged_in_can_skip_without_a_cascade(logged_in, permit):
    response = logged_in.post("/skip", data=form(logged_in, result='{"never": "used"}'))

    assert response.headers["location"] == "instance?session=permit+7&name=t_close%230"
    assert permit.instance("t_close#0").status is Status.SKIPPED
    assert permit.instances("t_archive") == []


def test_who_is_logged_in_can_skip_with_a_cascade(logged_in, permit):
    logged_in.post("/skip", data=form(logged_in, cascade="on", result='{"closed": true}'))

    (archive,) = permit.instances("t_archive")
    assert archive.trigger_kwargs == {"t_close": {"closed": True}}


def test_a_program_acts_with_the_token_in_its_header(acting, permit):
    assert acting.post("/replay", data=ACTION, headers=BEARER).status_code == 303
    assert permit.instance("t_close#0").status is Status.REPLAYED


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("field", [{}, {FORM_FIELD: ""}, {FORM_FIELD: "0" * 64}])
def test_a_form_needs_more_than_the_cookie(logged_in, permit, path, field):
    assert logged_in.post(path, data={**ACTION, **field}).status_code == 403
    assert permit.instance("t_close#0").status is Status.FAILED


def test_a_form_that_is_not_shown_to_this_browser_is_of_no_use(logged_in, make_client, permit):
    fields = form(logged_in)

    assert make_client(TOKEN).post("/replay", data=fields).status_code == 403
    assert "form_key" not in make_client(TOKEN).get(INSTANCE).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8765@evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_what_another_site_sends_is_refused(logged_in, permit, headers):
    response = logged_in.post("/replay", data=form(logged_in), headers=headers)

    assert response.status_code == 403
    assert permit.instance("t_close#0").status is Status.FAILED


def test_an_origin_that_is_none_is_refused(logged_in, permit):
    headers = {"Origin": "http://["}

    assert logged_in.post("/replay", data=form(logged_in), headers=headers).status_code == 403


def test_what_a_page_of_ours_sends_is_not(logged_in, permit):
    headers = {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}

    assert logged_in.post("/replay", data=form(logged_in), headers=headers).status_code == 303


def test_after_logging_out_nobody_acts(logged_in, permit):
    fields = form(logged_in)

    assert logged_in.post("/logout", data=fields).status_code == 303

    assert logged_in.post("/replay", data=fields).status_code == 403
    assert "Log in" in logged_in.get(INSTANCE).text


def test_another_site_logs_nobody_out(logged_in):
    assert logged_in.post("/logout", headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kwargs": "{"}, "expected a JSON object"),
        ({"kwargs": "[1]"}, "must be a mapping"),
        ({"kwargs": '{"fee_paid": NaN}'}, "expected a JSON object"),
        ({"kwargs": '{"other": {}}'}, "which it did not take"),
        ({"kwargs": "[" * 100_000}, "expected a JSON object"),
    ],
)
def test_a_mistake_is_told_and_what_was_typed_is_kept(logged_in, permit, fields, message):
    response = logged_in.post("/replay", data=form(logged_in, **fields))

    assert response.status_code == 400
    text = response.text.replace("&#34;", '"').replace("&#39;", "'")
    assert message in text
    assert fields["kwargs"] in text
    assert permit.instance("t_close#0").status is Status.FAILED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"session": "nobody"}, 404),
        ({"session": ""}, 404),
        ({"name": "t_close#9"}, 404),
        ({"name": "nonsense"}, 404),
        ({"name": "t_check#0"}, 409),
    ],
)
@pytest.mark.parametrize("path", ["/replay", "/skip", "/reconfigure", "/abandon"])
def test_what_cannot_be_done_is_told(logged_in, path, changes, code):
    response = logged_in.post(path, data=form(logged_in, reason="closed", **changes))

    assert response.status_code == code
    assert 'role="alert"' in response.text


def test_a_replay_that_no_runner_took_is_told_as_recorded(logged_in, permit, runner, monkeypatch):
    def refuse(**_):
        raise RuntimeError("the broker is away")

    monkeypatch.setattr(runner, "run", refuse)

    response = logged_in.post("/replay", data=form(logged_in))

    assert response.status_code == 202
    assert "recorded" in response.text
    assert permit.instance("t_close#0").status is Status.REPLAYED


def test_a_session_of_a_manager_that_is_not_installed_cannot_be_mended(logged_in, plugins, permit):
    plugins.managers.remove("held")

    response = logged_in.post("/replay", data=form(logged_in))

    assert response.status_code == 500
    assert "&#39;held&#39;" in response.text


def test_a_form_has_bounds(acting):
    data = {"token": "x" * LARGEST_FORM}

    assert acting.post("/login", data=data).status_code == 413


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "", "multipart/form-data"]
)
def test_a_form_is_url_encoded(acting, content_type):
    headers = {**BEARER, "Content-Type": content_type}

    assert acting.post("/replay", content=b"{}", headers=headers).status_code == 415


def test_a_form_is_utf8(acting):
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

    for content in (b"token=\xff", b"token=%ff"):
        assert acting.post("/login", content=content, headers=headers).status_code == 400


@pytest.mark.parametrize(
    "address",
    ["/", INSTANCE, "/login", "/nothing", "/static/app.css", "/static/live.js", "/replay"],
)
def test_every_response_tells_the_browser_what_to_refuse(acting, address):
    headers = acting.get(address).headers

    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == policy.pop("base-uri") == "'none'"
    assert policy.pop("frame-ancestors") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_even_an_error_and_a_refused_host_do(client, storage, monkeypatch):
    monkeypatch.setattr(storage, "sessions", lambda: 1 / 0)

    for response in (client.get("/"), client.get("/", headers={"Host": "evil.example"})):
        assert response.status_code in {500, 400}
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_pages_are_kept_in_no_cache(client, permit):
    assert client.get(INSTANCE).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8765",
        "localhost.",
        "",
        "[::2]",
        "a b",
    ],
)
def test_a_name_that_is_not_ours_is_not_answered(client, permit, host):
    response = client.get(INSTANCE, headers={"Host": host})

    assert response.status_code == 400
    assert "t_close" not in response.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8765", "[::1]:8765", "[::1]"])
def test_this_machines_names_are_answered(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_a_name_that_was_allowed_is_answered(make_client):
    client = make_client(allowed_hosts=["triggers.example", "fd00::7"])

    for host in ("triggers.example", "[fd00::7]:80"):
        assert client.get("/", headers={"Host": host}).status_code == 200


def test_below_a_path_of_another_application_links_still_lead_to_ours(make_client, permit):
    inner = make_client().app
    client = TestClient(Starlette(routes=[Mount("/jobs", inner)]), base_url="http://localhost")

    href = re.search(r'href="(session\?[^"]+)"', client.get("/jobs/").text)[1]

    assert "t_close#0" in client.get(f"/jobs/{href}").text
    assert client.get("/jobs/static/app.css").status_code == 200


def test_a_guard_without_a_token_lets_nobody_in():
    assert not Guard(None).knows("")
    assert not Guard(None).allows_actions


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.7", False), ("triggers.example", False)],
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(host, expected):
    assert is_loopback(host) is expected


def test_hosts_are_written_as_in_urls():
    assert host_in_url("::1") == host_in_url("[::1]") == "[::1]"
    assert answered_hosts(["::1", "a.example"]) == ["localhost", "127.0.0.1", "[::1]", "a.example"]
