"""A workspace is named by region or URL, and no key is sent readable to another machine."""

import pytest

from secoda_async import ConfigurationError, SecodaSink
from secoda_async.sinks.address import catalog_url, host_name, resolve_base_url


@pytest.mark.parametrize(
    ("given_", "meant"),
    [
        ("us", "https://api.secoda.co"),
        ("EU", "https://eapi.secoda.co"),
        (" Apac ", "https://aapi.secoda.co"),
        ("https://catalog.example/api", "https://catalog.example/api"),
        ("https://Catalog.Example:8443/api/v1/", "https://Catalog.Example:8443/api/v1"),
    ],
)
def test_a_region_or_a_url_names_a_workspace(given_: str, meant: str) -> None:
    assert SecodaSink(api_key="key", integration_id="4f0c", base_url=given_).base_url == meant


@pytest.mark.parametrize("base", ["", "/", "/api", "/api/", "/api/v1", "/v1"])
def test_the_catalog_is_below_api_v1_whatever_part_of_it_the_base_holds(base: str) -> None:
    path = "/v1" if base == "/v1" else "/api/v1"
    assert catalog_url(resolve_base_url(f"https://x.example{base}")) == f"https://x.example{path}/resource/catalog"


@pytest.mark.parametrize("host", ["api.secoda.co", "10.0.0.1", "localhost.example", "[2001:db8::1]", "0.0.0.0"])
def test_a_key_does_not_go_over_plain_http_to_another_machine(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"plain http.*--insecure-http") as caught:
        resolve_base_url(f"http://{host}/api")
    assert "https://" in str(caught.value)
    assert resolve_base_url(f"http://{host}/api", insecure=True).scheme == "http"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:80", "localhost", "LOCALHOST.", "w.localhost", "[::1]:8000"])
def test_plain_http_on_this_machine_is_no_risk(host: str) -> None:
    assert resolve_base_url(f"http://{host}").scheme == "http"


@pytest.mark.parametrize("text", ["", "uk", "api.secoda.co", "ftp://x.example", "https://x.example?a=1", None, 5])
def test_what_is_neither_names_the_regions(text: object) -> None:
    with pytest.raises(ConfigurationError, match="us, eu, apac"):
        resolve_base_url(text)  # type: ignore[arg-type]


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="no user name") as caught:
        resolve_base_url("https://me:geheim@x.example")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://API.secoda.co/api", "api.secoda.co"),
        ("https://x.example:443", "x.example"),
        ("https://x.example:8443", "x.example:8443"),
        ("http://[::1]:9/", "[::1]:9"),
        ("https://bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_target_is_named_by_host_and_unusual_port(url: str, name: str) -> None:
    assert host_name(resolve_base_url(url)) == name


@pytest.mark.parametrize("id_", ["..", ".", "", "a/b", "a\\b", "-x", "a b", "x" * 201, "é", None, 5])
def test_an_integration_id_is_never_a_path(id_: object) -> None:
    with pytest.raises(ConfigurationError, match="integration_id"):
        SecodaSink(api_key="key", integration_id=id_)  # type: ignore[arg-type]
