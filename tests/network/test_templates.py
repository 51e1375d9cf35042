"""Paths of one endpoint are one template: whatever is asked, in bounded memory, and with nothing secret in it."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.network.message import Request
from secoda_async.network.templates import MOST_TEMPLATES, Templates
from secoda_async.redact import Redactor
from secoda_async.report import EndpointReport

HOST = "https://api.example.com"
SEGMENTS = st.one_of(
    st.sampled_from(["tables", "columns", "v1", "v2.1", "api", "users", "me", "s3", "oauth2", "{id}", "**", "{name}"]),
    st.integers(0, 10**20).map(str),
    st.uuids().map(str),
    st.text("abcdef0123456789", min_size=1, max_size=40),
    st.text("abcXYZ-_.~%/;=@+:0123456789", max_size=60),
)
PATHS = st.lists(SEGMENTS, max_size=15).map(lambda parts: "/" + "/".join(parts))


def templates(
    *paths: str, declared: list[str] | None = None, secrets: tuple[str, ...] = (), base: str = HOST
) -> list[str]:
    redact = Redactor(secrets)
    found = Templates(declared, lambda text: redact.knows(text) or redact(text) != text)
    for path in paths:
        url = URL(base + path, encoded=True)
        found.note(found.of(url), Request("GET", url), 200, 0.1)
    traffic = Traffic(endpoints=[found])
    return [f"{one.method} {one.host}{one.path}" for one in EndpointReport.list_of(traffic, redact)]


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/tables/17", "/tables/{id}"),
        ("/tables/17?token=abc", "/tables/{id}"),
        (f"/tables/{uuid.UUID(int=7)}/columns", "/tables/{id}/columns"),
        ("/api/v2/tables", "/api/v2/tables"),
        ("/api/v2.1/users/me", "/api/v2.1/users/me"),
        ("/commits/deadbeefcafe", "/commits/{id}"),
        ("/jobs/job-2024-01-01", "/jobs/{id}"),
        ("/users/a@b.c", "/users/{id}"),
        ("/files/a%20b", "/files/{id}"),
        ("/x/" + "a" * 41, "/x/{id}"),
        ("/oauth2/token", "/oauth2/token"),
        ("/", "/"),
        ("/tables/", "/tables/"),
        ("/" + "/".join("abcdefghijklmnop"), "/a/b/c/d/e/f/g/h/i/j/k/l/**"),
    ],
)
def test_an_id_counts_as_any_other(path: str, template: str) -> None:
    assert templates(path) == [f"GET api.example.com{template}"]


def test_one_of_many_in_the_same_place_is_an_id_whatever_it_looks_like() -> None:
    names = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(100)]
    paths = [f"/tables/{name}{rest}" for name in names for rest in ("", "/columns")]
    assert templates("/users/me", *paths) == [
        "GET api.example.com/tables/{id}",
        "GET api.example.com/tables/{id}/columns",
        "GET api.example.com/users/me",
    ]


def test_a_host_with_more_templates_than_that_has_its_widest_places_folded() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    found = templates(*[f"/{a}/{b}/{c}" for a in letters for b in letters for c in letters[:3]])
    assert 0 < len(found) <= MOST_TEMPLATES


def test_hosts_are_bounded_too() -> None:
    found = Templates(None, lambda _: False)
    for number in range(1000):
        url = URL(f"https://h{number}.example/x")
        found.note(found.of(url), Request("GET", url), 200, 0.1)
    reports = EndpointReport.list_of(Traffic(endpoints=[found]), str)
    assert len(reports) == 101
    assert sum(one.requests for one in reports) == 1000


def test_what_is_declared_comes_first_and_keeps_its_names() -> None:
    declared = [
        "GET api.example.com/tables/{table}/columns",
        "api.example.com/tables/{table}",
        "api.example.com/raw/**",
    ]
    found = templates(
        "/tables/7/columns", "/tables/new", "/raw/a/b/c", "/raw", "/users/7", "/tables/a%20b", declared=declared
    )
    assert found == [
        "GET api.example.com/raw/**",
        "GET api.example.com/tables/{table}",
        "GET api.example.com/tables/{table}/columns",
        "GET api.example.com/users/{id}",
    ]


def test_a_port_of_ones_own_is_named_and_the_schemes_own_is_not() -> None:
    assert templates("/x", base="http://127.0.0.1:8001") == ["GET 127.0.0.1:8001/x"]
    assert templates("/x", base="https://[::1]:443") == ["GET [::1]/x"]


@given(PATHS)
def test_a_template_is_the_template_of_itself(path: str) -> None:
    [once] = templates(path)
    assert templates(once.removeprefix("GET api.example.com")) == [once]


@given(st.lists(PATHS, max_size=30), st.text("abcdefXYZ0123456789-_/+=", min_size=4, max_size=50), PATHS)
def test_no_secret_is_in_a_template(paths: list[str], secret: str, before: str) -> None:
    asked = [*paths, f"{before}/{secret}", f"/{secret}{before}", f"{before}{secret}", f"/bot{secret}/get"]
    for template in templates(*asked, secrets=(secret,)):
        path = template.removeprefix("GET api.example.com")
        assert secret not in path.replace("[redacted]", "").replace("{id}", "\0")


@given(st.lists(PATHS, max_size=60))
def test_every_request_is_counted_once(paths: list[str]) -> None:
    found = Templates(["api.example.com/tables/{t}"], lambda _: False)
    for number, path in enumerate(paths):
        url = URL(HOST + path, encoded=True)
        outcome: int | str = "ConnectError" if number % 3 == 0 else 200
        found.note(found.of(url), Request("GET", url), outcome, 0.1)
    reports = EndpointReport.list_of(Traffic(endpoints=[found]), str)
    assert sum(one.requests for one in reports) == len(paths)
    assert sum(one.errors.get("ConnectError", 0) for one in reports) == len(range(0, len(paths), 3))
