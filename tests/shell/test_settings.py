"""Environment variables as values: what is missing, what was misspelt, and that no secret is ever shown."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
from urllib.parse import quote, quote_plus

import pytest

from reconciler.core.errors import SettingsInvalid
from reconciler.settings import (
    DEFAULT_SCOPES,
    Endpoints,
    ReadyToken,
    Redactor,
    Secret,
    ServerToServer,
    check_url,
    read_credentials,
    read_endpoints,
)

PAIR = {"AEP_CLIENT_ID": "client-1", "AEP_CLIENT_SECRET": "p8e-secret-1"}
READY = {"AEP_ACCESS_TOKEN": "eyJ-token-1", "AEP_API_KEY": "key-1"}


def test_server_to_server() -> None:
    assert read_credentials(PAIR) == ServerToServer(Secret("client-1"), Secret("p8e-secret-1"), DEFAULT_SCOPES)


def test_a_ready_token() -> None:
    assert read_credentials(READY) == ReadyToken(Secret("eyJ-token-1"), Secret("key-1"))


@pytest.mark.parametrize("scopes", ["openid,AdobeID", " openid, AdobeID\n", "openid AdobeID", "openid,,AdobeID,"])
def test_scopes_are_a_list_however_they_were_pasted(scopes: str) -> None:
    found = read_credentials({**PAIR, "AEP_SCOPES": scopes})
    assert isinstance(found, ServerToServer)
    assert found.scopes == "openid,AdobeID"


def test_space_around_a_value_is_no_part_of_it() -> None:
    assert read_credentials({name: f"  {value}\r\n" for name, value in PAIR.items()}) == read_credentials(PAIR)


@pytest.mark.parametrize("value", ["two words", "line\nbreak", "tab\there", "ümlaut", "null\0", "\u200bhidden"])
def test_what_cannot_be_a_credential_is_refused_unseen(value: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        read_credentials({**PAIR, "AEP_CLIENT_SECRET": value})
    assert "`AEP_CLIENT_SECRET`" in caught.value.summary
    assert value not in f"{caught.value.summary}{caught.value.detail}{caught.value.hint}"


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({}, "`AEP_CLIENT_ID` and `AEP_CLIENT_SECRET` are not set"),
        ({"AEP_CLIENT_ID": "x"}, "`AEP_CLIENT_SECRET` is not set"),
        ({"AEP_CLIENT_SECRET": "x"}, "`AEP_CLIENT_ID` is not set"),
        ({"AEP_CLIENT_ID": "x", "AEP_CLIENT_SECRET": ""}, "`AEP_CLIENT_SECRET` is not set"),
        ({"AEP_CLIENT_ID": "  ", "AEP_CLIENT_SECRET": "\n"}, "`AEP_CLIENT_ID` and `AEP_CLIENT_SECRET` are not set"),
        ({"AEP_ACCESS_TOKEN": "x"}, "`AEP_API_KEY` is not set"),
        ({"AEP_ACCESS_TOKEN": "x", "AEP_CLIENT_ID": "y"}, "`AEP_API_KEY` is not set"),
    ],
)
def test_what_is_missing_is_named(env: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        read_credentials(env)
    assert caught.value.summary == f"no credential for AEP: {missing}"
    assert "AEP_ACCESS_TOKEN" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("AEP_CLIENTID", "AEP_CLIENT_ID"),
        ("AEP_CLIENT_SECERT", "AEP_CLIENT_SECRET"),
        ("aep_client_id", "AEP_CLIENT_ID"),
        ("AEPCLIENT_ID", "AEP_CLIENT_ID"),
    ],
)
def test_a_misspelt_variable_is_found(wrong: str, right: str) -> None:
    env = {**PAIR, wrong: "hidden-value", "AEP_TEAM_COLOUR": "red"}
    del env[right]
    with pytest.raises(SettingsInvalid) as caught:
        read_credentials(env)
    hint = caught.value.hint or ""
    assert hint.startswith(f"did you mean `{right}` by `{wrong}`?")
    assert "hidden-value" not in hint


def test_strange_variables_do_not_disturb_a_complete_credential() -> None:
    assert read_credentials({**PAIR, "AEP_CLIENTID": "x"}) == read_credentials(PAIR)


def test_two_credentials_are_one_too_many() -> None:
    with pytest.raises(SettingsInvalid, match="both `AEP_ACCESS_TOKEN` and `AEP_CLIENT_SECRET`"):
        read_credentials({**PAIR, **READY})


def test_adobes_own_hosts_unless_told_otherwise() -> None:
    assert read_endpoints({"AEP_API_URL": ""}) == Endpoints()
    assert Endpoints() == Endpoints("https://platform.adobe.io", "https://ims-na1.adobelogin.com")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://platform-stage.adobe.io", "https://platform-stage.adobe.io"),
        ("https://proxy.example:8443/aep/", "https://proxy.example:8443/aep"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://LOCALHOST", "http://LOCALHOST"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("HTTPS://platform.adobe.io", "HTTPS://platform.adobe.io"),
    ],
)
def test_urls_that_a_credential_may_be_sent_to(given: str, url: str) -> None:
    assert read_endpoints({"AEP_API_URL": given, "AEP_IMS_URL": given}) == Endpoints(url, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://platform.adobe.io",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.1",
        "http://2130706433",
        "http://[::ffff:10.0.0.1]",
        "http://localhost@evil.example",
        "http://127.0.0.1\\@evil.example",
        "https://user:pass-word@platform.adobe.io",
        "https://@platform.adobe.io",
        "https://platform.adobe.io?x=1",
        "https://platform.adobe.io?",
        "https://platform.adobe.io#top",
        "https://platform.adobe.io#",
        "https://",
        "https:///path",
        "https://:443",
        "https://host:0",
        "https://host:99999",
        "https://host:port",
        "https://[::1",
        "https://ho%73t",
        "https://ho_st!",
        "platform.adobe.io",
        "//platform.adobe.io",
        "ftp://platform.adobe.io",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://platform.adobe.io /x",
        "https://plätform.adobe.io",
    ],
)
def test_urls_that_a_credential_must_not_be_sent_to(url: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        read_endpoints({"AEP_API_URL": url})
    assert "`AEP_API_URL`" in caught.value.summary
    assert caught.value.hint
    assert "pass-word" not in f"{caught.value.summary}{caught.value.detail}{caught.value.hint}"


def test_a_url_that_code_gives_is_checked_too() -> None:
    with pytest.raises(SettingsInvalid):
        check_url("AEP_API_URL", "http://evil.example")


def test_a_secret_does_not_show() -> None:
    secret = Secret("p8e-secret-1")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>20}",
        repr([secret]),
        repr({1: secret}),
    ]
    assert not [text for text in shown if "p8e" in text]
    assert "p8e" not in repr(read_credentials(PAIR))
    assert "eyJ" not in repr(read_credentials(READY))
    assert secret == Secret("p8e-secret-1") != Secret("other")
    assert hash(secret) == hash(Secret("p8e-secret-1"))
    for write in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            write(secret)


def test_every_form_of_a_secret_is_masked() -> None:
    redactor = Redactor(Secret("p8e/se+cret="), Secret("p8e/se+cret=longer"), Secret("abc"))
    secret = "p8e/se+cret="
    text = f"a {secret} b {quote(secret, safe='')} c {quote_plus(secret)} d p8e/se+cret=longer abc"
    assert redactor.redact(text) == "a *** b *** c *** d *** abc"


def test_learnt_tokens_are_masked_and_the_credential_is_never_forgotten() -> None:
    redactor = Redactor.for_credentials(read_credentials(PAIR))
    for number in range(1_000):
        redactor.add(Secret(f"token-{number:04}"))
    assert redactor.redact("client-1 p8e-secret-1 token-0999 token-0990") == "*** *** *** ***"


def test_log_records_are_masked_with_arguments_and_traceback() -> None:
    redactor = Redactor.for_credentials(read_credentials(READY))
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.addFilter(redactor)
    log = logging.getLogger("tests.redacted")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.info("sent %s with %r", "Bearer eyJ-token-1", {"x-api-key": "key-1"})
    try:
        int("bad header eyJ-token-1")
    except ValueError:
        log.exception("oh: %s", "key-1")
    said = "\n".join(lines)
    assert "eyJ-token-1" not in said
    assert "key-1" not in said
    assert said.startswith("sent Bearer *** with")
    assert "base 10: 'bad header ***'" in said


def test_reading_settings_imports_nothing_heavy() -> None:
    script = (
        "import sys, reconciler.settings\n"
        "heavy = {'httpx', 'yaml', 'pydantic', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_host_in_letters_that_look_alike_is_shown_as_it_really_is() -> None:
    with pytest.raises(SettingsInvalid, match=r"its host is `xn--pltform-3fg\.adobe\.io`"):
        read_endpoints({"AEP_API_URL": "https://pl\u0430tform.adobe.io"})
    for other in ("https://\u0430..b", "https://\ufffd", "https://[\u0430", "\u0430"):
        with pytest.raises(SettingsInvalid, match="ASCII"):
            read_endpoints({"AEP_IMS_URL": other})


@pytest.mark.parametrize("host", ["a..b", "-a.io", "a-.io", ".a", "a" * 64, "%41.io", "a_b.io", f"{'a.' * 127}io"])
def test_a_host_that_no_name_server_can_know_is_refused(host: str) -> None:
    with pytest.raises(SettingsInvalid, match="host"):
        read_endpoints({"AEP_API_URL": f"https://{host}"})


@pytest.mark.parametrize(
    "host", ["platform.adobe.io", "a-b.c", "10.0.0.1", "[fd00::1]", "localhost", "A1.example.", "x"]
)
def test_a_host_that_can_be_looked_up_is_fine(host: str) -> None:
    assert read_endpoints({"AEP_API_URL": f"https://{host}:8443/x/"}).api_url == f"https://{host}:8443/x"
