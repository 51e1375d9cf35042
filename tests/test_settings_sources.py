"""Settings from outside the code: which one wins, how each is written, and what becomes of one that is none."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import ConfigurationError, RateLimit, RetryPolicy, SecodaIntegration, StaleLimits, Timeout
from secoda_async.cli.settings_sources import apply_settings, find_settings, settings_of
from secoda_async.cli.show_settings import settings_json


class Tables(SecodaIntegration):
    concurrency = 1
    watchdog = 60.0

    async def extract(self) -> None:
        return


def pyproject(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


def found(name: str, text: str, tmp_path: Path) -> Any:
    return find_settings({}, environment={f"SECODA_ASYNC_{name.upper()}": text}, directory=tmp_path)[name].value


def test_option_over_environment_over_pyproject_over_constructor_over_class_over_default(tmp_path: Path) -> None:
    folder = pyproject(
        tmp_path, "[tool.secoda-async]\nconcurrency = 3\nmax_body = 3\nmax-record = 3\nmax_journal = 3\n"
    )
    environment = {"SECODA_ASYNC_CONCURRENCY": "4", "SECODA_ASYNC_MAX_BODY": "4", "SECODA_ASYNC_MAX_RECORD": "4"}
    integration = Tables(credentials={}, concurrency=2, max_body=2, max_record=2, max_journal=2, strict=True)
    settings = find_settings(
        {"concurrency": 6}, ["max_body=5", "concurrency=5"], environment=environment, directory=folder
    )
    apply_settings(integration, settings)
    shown = orjson.loads(settings_json(integration))
    file = str(folder / "pyproject.toml")
    assert {name: tuple(shown[name].values()) for name in (*settings, "strict", "watchdog", "cookies")} == {
        "concurrency": (6, "--concurrency"),
        "max_body": (5, "--set max_body"),
        "max_record": (4, "SECODA_ASYNC_MAX_RECORD"),
        "max_journal": (3, file),
        "strict": (True, "constructor"),
        "watchdog": (60.0, "class attribute"),
        "cookies": (False, "default"),
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("concurrency", "20", 20),
        ("concurrency", "none", None),
        ("strict", "yes", True),
        ("strict", "0", False),
        ("base_url", "123", "123"),
        ("state_dir", "true", "true"),
        ("verify", "false", False),
        ("verify", "/etc/ca.pem", "/etc/ca.pem"),
        ("timeout", "30", Timeout.of(30)),
        ("timeout", '{"read": 5}', Timeout(read=5)),
        ("retry", "8", RetryPolicy(attempts=8)),
        ("retry", "false", None),
        ("retry", '{"backoff": 2}', RetryPolicy(backoff=2)),
        ("rate_limits", '{"a.example": "100/60"}', {"a.example": (RateLimit(100, per=60),)}),
        ("rate_limits", '{"a.example": ["5", "100/60s"]}', {"a.example": (RateLimit(5), RateLimit(100, per=60))}),
        ("rate_limits", '{"*": {"requests": 5, "burst": 2}}', {"*": (RateLimit(5, burst=2),)}),
        ("stale_limits", "0.5", StaleLimits(share=0.5)),
        ("stale_limits", '{"by_type": {"column": 1}}', StaleLimits(by_type={"column": 1})),
        ("allowed_hosts", "a.example, b.example", ["a.example", "b.example"]),
        ("allowed_hosts", '["a.example"]', ["a.example"]),
        ("cert", '["a.pem", "a.key"]', ("a.pem", "a.key")),
    ],
)
def test_each_setting_can_be_written_as_text(name: str, text: str, value: object, tmp_path: Path) -> None:
    assert found(name, text, tmp_path) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("concurency", "3", "SECODA_ASYNC_CONCURENCY: there is no setting 'concurency'; did you mean concurrency?"),
        ("zzz", "3", "the settings are against"),
        ("strict", "perhaps", "SECODA_ASYNC_STRICT: strict must be true or false, not 'perhaps'"),
        ("rate_limits", "100/60", 'write {"api.x.com": "100/60"}'),
        ("rate_limits", '{"a.example": "fast"}', "SECODA_ASYNC_RATE_LIMITS: rate_limits cannot be"),
        ("rate_limits", '{"a.example": "0/60"}', "SECODA_ASYNC_RATE_LIMITS: RateLimit: requests must be"),
        ("timeout", '{"raed": 5}', "raed"),
        ("timeout", "soon", "SECODA_ASYNC_TIMEOUT: timeout must be"),
    ],
)
def test_a_text_that_means_nothing_is_an_error_that_says_where_it_stands(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_settings({}, environment={f"SECODA_ASYNC_{name.upper()}": text}, directory=tmp_path)
    assert said in str(caught.value)


@given(
    text=st.text(st.characters(exclude_characters="\0"), max_size=40),
    name=st.sampled_from(["timeout", "retry", "cert", "max_body", "verify"]),
)
def test_any_text_is_a_setting_or_a_configuration_error(text: str, name: str) -> None:
    with suppress(ConfigurationError):
        settings_of(find_settings({}, [f"{name}={text}"], environment={}, directory=Path("/")))


def test_a_value_out_of_range_is_an_error_that_says_where_it_is_from(tmp_path: Path) -> None:
    settings = find_settings({}, environment={"SECODA_ASYNC_CONCURRENCY": "0"}, directory=tmp_path)
    with pytest.raises(ConfigurationError, match=r"not 0 \(concurrency is from SECODA_ASYNC_CONCURRENCY\)"):
        apply_settings(Tables(credentials={}), settings)
    with pytest.raises(ConfigurationError, match="SECODA_ASYNC_CONCURRENCY"):
        settings_of(settings)


@pytest.mark.parametrize("name", ["allow_losses", "allow_empty", "first_sync", "allow_stale", "resume", "replay"])
def test_what_permits_one_run_something_does_not_belong_in_a_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is for one run"):
        find_settings({}, environment={}, directory=pyproject(tmp_path, f"[tool.secoda-async]\n{name} = true\n"))


def test_the_nearest_pyproject_counts_and_its_paths_are_of_its_own_folder(tmp_path: Path) -> None:
    pyproject(tmp_path, "[tool.secoda-async]\nconcurrency = 1\n")
    pyproject(tmp_path / "a", '[tool.secoda-async]\nstate_dir = "state"\nverify = "ca.pem"\n')
    (tmp_path / "a" / "b").mkdir()
    settings = find_settings({}, environment={}, directory=tmp_path / "a" / "b")
    assert {name: one.value for name, one in settings.items()} == {
        "state_dir": str(tmp_path / "a" / "state"),
        "verify": str(tmp_path / "a" / "ca.pem"),
    }


@pytest.mark.parametrize("text", ["[tool", "tool = 3", "[tool]\nsecoda-async = 3", "[tool.secoda-async]\nspeed = 3"])
def test_a_pyproject_that_cannot_be_used_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml"):
        find_settings({}, environment={}, directory=pyproject(tmp_path, text))


def test_a_pyproject_of_others_and_variables_of_others_say_nothing(tmp_path: Path) -> None:
    folder = pyproject(tmp_path, "[project]\nname = 'x'\n")
    assert find_settings({}, environment={"SECODA_API_KEY": "x", "SECODA_ASYNC_STATE": "y"}, directory=folder) == {}


def test_shown_settings_hold_no_password() -> None:
    integration = Tables(
        credentials={"base_url": "https://a.example", "token": "geheimes-token"},
        proxy="http://user:proxy-passwort@proxy.example:3128",
        cert=("client.pem", "client.key", "schluessel-passwort"),
        rate_limits={"GET a.example/geheimes-token/x": RateLimit(1)},
    )
    shown = settings_json(integration)
    assert "proxy.example" in shown
    assert not any(secret in shown for secret in ("geheimes-token", "proxy-passwort", "schluessel-passwort"))
