"""The client secret and every token: in no file and in no output, however the run ends and however much it says."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from tests.aep.server import CLIENT_ID, CLIENT_SECRET, Faults
from tests.crash.checkout import Checkout, Ended, end, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aep.server import Aep


def assert_clean(root: Path, aep: Aep, *runs: Ended) -> None:
    """No secret in any form, in any output or in any file below the root (crash reports come there too)."""
    secrets = {CLIENT_SECRET, quote(CLIENT_SECRET, safe=""), quote_plus(CLIENT_SECRET), *aep.tokens}
    secrets |= {b64encode(each.encode()).decode().rstrip("=") for each in secrets}
    places = {f"output {number}": run.out + run.err for number, run in enumerate(runs)}
    for file in root.rglob("*"):
        if file.is_file():
            places[str(file)] = file.read_bytes().decode("utf-8", "replace")
    for place, text in places.items():
        assert not [each for each in secrets if each in text], place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "form"), [("cut_after", "text"), ("error_after", "json"), ("truncated", "json"), ("throttled", "text")]
)
def test_no_trouble_shows_a_secret(checkout: Checkout, aep: Aep, fault: str, form: str) -> None:
    """Even if the service repeats them in each error."""
    aep.echoes = CLIENT_SECRET
    aep.on_create, aep.on_read = Faults({fault: 0.5}), Faults({fault: 0.2})
    checkout.settle = 0.3
    checkout.declare(manifest(3))
    runs = [
        checkout.run("-vv", "plan", "--out", str(checkout.root / "plan.json")),
        checkout.run("-vv", "apply", "--auto-approve", "--format", form),
        checkout.run("-vv", "state", "rebuild"),
    ]
    assert aep.tokens
    assert "HTTP" in "".join(run.err for run in runs)
    assert_clean(checkout.root, aep, *runs)


def test_no_refusal_shows_a_secret(checkout: Checkout, aep: Aep) -> None:
    aep.echoes = CLIENT_SECRET
    checkout.declare(manifest(2))
    checkout.env = {"AEP_CLIENT_ID": "somebody-else"}
    refused = checkout.run("-vv", "apply", "--auto-approve")
    assert refused.code == 1, refused.text
    checkout.env = {}
    aep.token_life, aep.told_life = -1.0, 86_399
    expired = checkout.run("-vv", "apply", "--auto-approve")
    assert expired.code == 1, expired.text
    checkout.env = {"AEP_API_URL": f"http://user:{quote(CLIENT_SECRET, safe='')}@127.0.0.1:1"}
    misplaced = checkout.run("-vv", "apply", "--auto-approve")
    assert misplaced.code == 1, misplaced.text
    assert_clean(checkout.root, aep, refused, expired, misplaced)


def test_no_kill_and_no_interrupt_leaves_a_secret_behind(checkout: Checkout, aep: Aep) -> None:
    aep.answer_delay = 0.3
    checkout.declare(manifest(10))
    runs = []
    for number, signals in enumerate((["terminate"], ["terminate", "terminate"], ["kill"])):
        with checkout.started("-vv", "apply", "--auto-approve", "--parallelism", "2") as process:
            aep.wait_for(3 * number + 1)
            for name in signals:
                getattr(process, name)()
                time.sleep(0.05)
            runs.append(end(process, 30))
        assert_clean(checkout.root, aep, *runs)


def test_a_ready_token_is_a_secret_too(checkout: Checkout, aep: Aep) -> None:
    token = aep.new_token()
    aep.echoes = token
    checkout.env = {"AEP_ACCESS_TOKEN": token, "AEP_API_KEY": CLIENT_ID, "AEP_CLIENT_SECRET": ""}
    checkout.declare(manifest(2))
    done = checkout.run("-vv", "apply", "--auto-approve")
    assert done.code == 0, done.text
    aep.tokens[token] = 0.0
    refused = checkout.run("-vv", "plan")
    assert refused.code == 1, refused.text
    assert "AEP_ACCESS_TOKEN" in refused.err
    assert_clean(checkout.root, aep, done, refused)
