"""That the check of the built guide, which ``make docs`` runs, finds what it is there to find."""

import importlib.util

import pytest

from .conftest import ROOT

_spec = importlib.util.spec_from_file_location("check_site", ROOT / "tools" / "check_site.py")
check_site = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check_site)


@pytest.fixture
def check(tmp_path, capsys):
    """Return a function: what a page holds, a style sheet → what is wrong, a line each."""

    def check(body, style=""):
        (tmp_path / "index.html").write_text(f"<body>{body}</body>")
        (tmp_path / "there.html").write_text('<h2 id="place">here</h2>')
        (tmp_path / "site.css").write_text(style)
        code = check_site.main(tmp_path)
        found = capsys.readouterr().out.splitlines()
        assert code == bool(found)
        return found

    return check


def test_links_and_files_that_are_there_pass(check):
    assert not check(
        '<a href="there.html#place">x</a><a href="https://other.example/">y</a>'
        '<link rel="canonical" href="https://other.example/">'
        '<link rel="stylesheet" href="site.css">',
        "a { background: url(data:image/png;base64,AA==) } b { background: url(there.html) }",
    )


@pytest.mark.parametrize("address", ["nowhere.html", "there.html#nowhere", "#nowhere"])
def test_a_link_that_leads_nowhere_is_named(check, address):
    (line,) = check(f'<a href="{address}">x</a>')
    assert address in line


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://other.example/x"></script>',
        '<img src="//other.example/x">',
        '<img srcset="there.html 1x, https://other.example/x 2x">',
        '<object data="https://other.example/x"></object>',
        '<style>@import "https://other.example/x";</style>',
        '<p style="background: url(https://other.example/x)">',
    ],
)
def test_what_is_loaded_from_another_host_is_named(check, body):
    (line,) = check(body)
    assert line.endswith("//other.example/x from another host")


@pytest.mark.parametrize(
    "style", ["a{src:url(https://other.example/x)}", "@import '//other.example/x'"]
)
def test_what_a_style_sheet_loads_from_another_host_is_named(check, style):
    (line,) = check("", style)
    assert line.startswith("site.css: loads ")


def test_a_page_without_its_file_is_named(check):
    assert check('<img src="gone.svg">') == ["index.html: loads gone.svg, which is not there"]
