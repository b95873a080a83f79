"""The command and a real browser: what a person clicks through, live."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from triggers_core import Plugins, SqliteStorage, Status, TriggerManager

DEADLINE_MS = 20_000
DEADLINE = DEADLINE_MS / 1000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# As few connections of its own as can be: nothing here may depend on a network.
OPTIONS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
]

TRIGGERS = Path(sys.executable).with_name("triggers")
TASKS = """
from triggers_core import trigger_task


@trigger_task
def close(context):
    amount = context.trigger_kwargs["fee_paid"]["amount"]
    if amount < 41:
        raise ValueError("<b>too little</b>")
    return {"paid": amount}
"""


@pytest.fixture
def storage(tmp_path):
    storage = SqliteStorage(tmp_path / "store.db", synchronous="NORMAL")
    yield storage
    storage.close()


@pytest.fixture
def processes():
    """Give the list of what was started; what still runs at the end is stopped."""
    started = []
    yield started
    for process in started:
        process.terminate()
        process.wait(DEADLINE)
        process.stdout.close()


@pytest.fixture
def start(storage, tmp_path, processes):
    """Return a function (arguments) → what ``triggers web`` printed, once it listens."""

    def start(*arguments):
        process = subprocess.Popen(
            [TRIGGERS, "web", "--storage", f"sqlite:///{storage.path}", "--port", "0", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return "".join(process.stdout.readline() for _ in range(2 if arguments else 1))

    return start


@pytest.fixture
def failed(storage, tmp_path, monkeypatch):
    """Give the session ``permit 7``, whose task ``close`` has failed, in threads."""
    (tmp_path / "permits_of_test_browser.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Plugins()
    manager = TriggerManager("permit 7", storage=storage, plugins=plugins)
    manager.update_configuration(
        {
            "close": {
                "after": ["fee_paid"],
                "run": "permits_of_test_browser.close",
                "using": "threading",
            }
        }
    )
    manager.fire("fee_paid", {"amount": 40})
    plugins.runner("threading").join_all(DEADLINE)
    return manager


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        installed = [*filter(None, map(shutil.which, BROWSERS))]
        own = playwright.chromium.executable_path  # by 'playwright install chromium'
        found = next(filter(os.path.exists, [*installed, own]), None)
        if found is None:
            message = "needs a browser: apt-get install chromium, or playwright install chromium"
            pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
        browser = playwright.chromium.launch(executable_path=found, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """Give a browser's page, and fail if it has shown an error, or asked for anything elsewhere."""
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    page.errors = errors = []
    requests = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    yield page
    context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith("http://127.0.0.1:")] == []


def test_a_person_finds_a_session_and_sees_it_change(start, page, make_session):
    for number in range(30):
        make_session(f"order {number}")
    permit = make_session("permit 7", ("applied", {"plot": 12}))

    page.goto(re.search(r"http://\S+", start())[0])
    page.get_by_label("Search sessions").fill("PERMIT")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="permit 7").click()

    node = page.locator("a.node", has_text="t_close")
    expect(node).to_have_class("node unstarted")
    expect(page.locator("g.node", has_text="fee_paid")).to_have_class("node trigger")
    node.focus()
    permit.fire("fee_paid", {"amount": 40})
    expect(node).to_have_class("node scheduled", timeout=DEADLINE_MS)
    expect(page.locator("g.node", has_text="fee_paid")).to_have_class("node trigger fired")
    expect(node).to_be_focused()
    expect(page.get_by_role("row", name="t_close#0")).to_contain_text("scheduled")
    expect(page.get_by_role("status")).to_have_text("live")


def test_a_person_who_has_the_token_replays_what_failed(start, page, failed):
    address, token = re.search(
        r"(http://\S+)login with the token (\S+)", start("--actions")
    ).groups()

    page.goto(f"{address}session?uid=permit+7")
    page.locator("a.node", has_text="close").click()
    page.get_by_role("link", name="close#0").click()
    expect(page.get_by_text("ValueError: <b>too little</b>").first).to_be_visible()
    page.locator("main").get_by_role("link", name="Log in").click()
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="permit 7").click()
    page.get_by_role("link", name="close#0").click()
    kwargs = page.get_by_label("Kwargs, by the trigger that brought them")
    expect(kwargs).to_have_value('{\n  "fee_paid": {\n    "amount": 40\n  }\n}')
    kwargs.fill('{"fee_paid": {"amount": 41}}')
    page.get_by_role("button", name="Replay").click()

    expect(page.get_by_role("heading", name="close#1")).to_be_visible()
    expect(page.locator("#facts .status")).to_have_text("finished", timeout=DEADLINE_MS)
    expect(page.locator("#metadata")).to_contain_text('"paid": 41')
    assert failed.instance("close#1").status is Status.FINISHED
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("banner").get_by_role("link", name="Log in")).to_be_visible()


def test_a_person_who_has_the_token_gives_up_what_waits(start, page, failed):
    failed.update_configuration(
        {"remind": {"after": ["fee_paid", "evening"], "run": "x", "using": "threading"}}
    )
    failed.fire("fee_paid", {"amount": 42})
    address, token = re.search(
        r"(http://\S+)login with the token (\S+)", start("--actions")
    ).groups()
    page.goto(f"{address}login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="permit 7").click()
    page.get_by_role("link", name="remind#0").click()

    page.get_by_role("button", name="Abandon").click()
    expect(page.get_by_label("Reason")).to_be_focused()  # the browser asks for one
    page.get_by_label("Reason").fill("nobody reads them")
    page.get_by_label("By").fill("Ada")
    page.get_by_role("button", name="Abandon").click()
    expect(page.get_by_label("I am sure")).to_be_focused()  # and whether it is meant
    page.get_by_label("I am sure").check()
    page.get_by_role("button", name="Abandon").click()

    expect(page.locator("#facts .status")).to_have_text("abandoned", timeout=DEADLINE_MS)
    expect(page.locator("#why")).to_contain_text("by Ada: nobody reads them")
    assert failed.instance("remind#0").status is Status.ABANDONED


def test_what_is_read_stays_where_it_is_while_the_page_changes(start, page, make_session):
    make_session("permit 7", ("applied",), ("fee_paid", {"reason": "no such account\n" * 40}))
    page.goto(re.search(r"http://\S+", start())[0] + "task?session=permit+7&name=t_archive")
    traceback = page.locator(".tail")
    told = page.get_by_text(re.compile(r"t_close#0 failed at"))
    before = told.inner_text()

    traceback.evaluate("element => element.scrollTop = -element.scrollHeight")
    scrolled = traceback.evaluate("element => element.scrollTop")
    expect(told).not_to_have_text(before, timeout=DEADLINE_MS)  # it says how long ago

    assert scrolled < 0
    assert traceback.evaluate("element => element.scrollTop") == scrolled


def test_the_page_says_when_the_server_is_gone_and_can_be_paused(start, page, permit, processes):
    page.goto(re.search(r"http://\S+", start())[0] + "session?uid=permit+7")
    status = page.get_by_role("status")
    expect(status).to_have_text("live")

    page.get_by_role("button", name="Pause").click()
    expect(status).to_have_text("paused")
    page.get_by_role("button", name="Go on").click()
    expect(status).to_have_text("live")

    processes[-1].terminate()
    expect(status).to_have_text("connection lost, trying again", timeout=DEADLINE_MS)
    page.errors.clear()  # the browser's own word of it


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_well_when_it_is_told_to(start, processes, number):
    start("--actions")

    processes[-1].send_signal(number)

    assert processes[-1].wait(DEADLINE) == 0


def test_on_another_address_the_command_warns(start, storage):
    with storage.transaction("a session, so that there is a store", "m"):
        pass

    printed = start("--host", "0.0.0.0")

    assert "sessions are at http://0.0.0.0:" in printed
    assert "warning: 0.0.0.0 is no loopback address" in printed


def test_of_a_store_that_is_not_there_yet_the_command_warns(start, tmp_path):
    printed = start("--storage", f"sqlite:///{tmp_path}/nosuch.db")

    assert "nosuch.db'): there is no such store yet; is it named rightly?" in printed


def test_a_store_that_cannot_be_opened_is_told_at_once(tmp_path):
    done = subprocess.run(
        [TRIGGERS, "web", "--storage", f"sqlite:///{tmp_path}", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


def test_where_the_command_is_not_used_nothing_of_it_is_imported():
    program = (
        "import sys; from triggers_core import Plugins; print(Plugins().plugin_names()); "
        "print({'starlette', 'uvicorn', 'jinja2', 'typer'} & sys.modules.keys())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    names, imported = done.stdout.splitlines()
    assert "'web'" in names
    assert imported == "set()"
