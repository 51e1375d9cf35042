"""How requests are named in a setting: host, method and path, and nothing that could be read in two ways."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async.errors import ConfigurationError
from secoda_async.network.endpoint import Endpoint


@pytest.mark.parametrize(
    ("text", "method", "url", "matches"),
    [
        ("a.example", "GET", "https://a.example/x/y?z", True),
        ("a.example", "GET", "https://b.example/", False),
        ("*", "PUT", "http://b.example/", True),
        ("POST a.example", "POST", "https://a.example/x", True),
        ("POST a.example", "GET", "https://a.example/x", False),
        ("a.example/", "GET", "https://a.example", True),
        ("a.example/", "GET", "https://a.example/x", False),
        ("a.example/tables/{id}", "GET", "https://a.example/tables/7", True),
        ("a.example/tables/{id}", "GET", "https://a.example/tables/7?q=/", True),
        ("a.example/tables/{id}", "GET", "https://a.example/tables/", True),
        ("a.example/tables/{id}", "GET", "https://a.example/tables/7/8", False),
        ("a.example/tables/{id}", "GET", "https://a.example/tables", False),
        ("a.example/tables/*", "GET", "https://a.example/tables/a%2Fb", True),
        ("a.example/tables/*/rows", "GET", "https://a.example/tables/a/rows", True),
        ("a.example/tables/**", "GET", "https://a.example/tables", True),
        ("a.example/tables/**", "GET", "https://a.example/tables/7/8", True),
        ("a.example/tables/**", "GET", "https://a.example/tables/../admin", False),
        ("a.example/tables/**", "GET", "https://a.example/tables/%2e%2E/admin", False),
        ("a.example/tables/*", "GET", "https://a.example/tables/..", False),
        ("a.example/**", "GET", "https://a.example/", True),
        ("*/search", "GET", "http://any.example:81/search", True),
        ("a.example/caf\u00e9", "GET", "https://a.example/caf%C3%A9", True),
        ("a.example/caf%C3%A9", "GET", "https://a.example/caf%c3%a9", True),
        ("a.example/Tables", "GET", "https://a.example/tables", False),
        ("GET a.example:8443/x", "GET", "https://a.example:8443/x", True),
        ("GET a.example:8443/x", "GET", "https://a.example/x", False),
        ("[::1]/x", "GET", "http://[::1]:80/x", True),
    ],
)
def test_an_endpoint_means_its_method_host_and_path(text: str, method: str, url: str, matches: bool) -> None:
    assert Endpoint.parse(text, setting="endpoints").matches(method, URL(url, encoded=True)) is matches


@pytest.mark.parametrize(
    "text",
    [
        *("a.example/**/x", "a.example/x**", "a.example/x?y", "a.example/x#y", "a.example/x y", "a.example/x\ny"),
        *("", " a.example", "//a.example/x", "https://a.example/x", "a.example//x", "get a.example", 5, None),
    ],
)
def test_what_is_no_endpoint_is_refused_by_the_name_of_the_setting(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="endpoints: "):
        Endpoint.parse(text, setting="endpoints")


segments = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/"), min_size=1).filter(
    lambda segment: segment not in (".", "..")
)


@given(st.lists(segments, min_size=1, max_size=5), st.data())
def test_a_path_fits_itself_with_any_segment_left_open(path: list[str], data: st.DataObject) -> None:
    url = URL("https://a.example/" + "/".join(quote(segment, safe="") for segment in path), encoded=True)
    opened = [data.draw(st.sampled_from(["*", "{name}", quote(segment, safe="")]), label=segment) for segment in path]
    assert Endpoint.parse("a.example/" + "/".join(opened), setting="endpoints").matches("GET", url)
    assert Endpoint.parse("a.example/" + "/".join([*opened[:-1], "**"]), setting="endpoints").matches("GET", url)
    assert not Endpoint.parse("a.example/" + "/".join([*opened, "*"]), setting="endpoints").matches("GET", url)
