"""Adobe's gateway in front of the services: URL length, credentials, sandbox, quota (aep-api.md §1, §2.2)."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from reconciler.emulator.exchange import Caller, Reply, json_reply
from reconciler.emulator.objects import DEFAULT_SANDBOX
from reconciler.emulator.problems import expired_token, gateway, ims, service, too_many_requests
from reconciler.emulator.tokens import Token, is_ours, read_token, write_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.emulator.lake import Lake

MAX_URL: Final = 2000
REAL_HOST: Final = "https://platform.adobe.io"
"""The length of a URL is measured with this host, so that what fits here fits there."""

ORG: Final = re.compile(r"[0-9A-Fa-f]{24}@AdobeOrg")
MINUTE_MS: Final = 60_000
TOKENS: Final = "tokens"
EXPIRED_TOKENS: Final = "expired_tokens"


class Gateway:
    """Gives out tokens, and lets requests in or raises `Problem`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._creations: defaultdict[str, deque[int]] = defaultdict(deque)
        self._expired = lake.store.number(EXPIRED_TOKENS)

    def give_token(self, query: str, body: str) -> Reply:
        """Answer `POST /ims/token/v3`; parameters may be in the body or in the query (E1, E2)."""
        given = dict(parse_qsl(query)) | dict(parse_qsl(body))
        if given.get("grant_type") != "client_credentials":
            raise ims(400, "unsupported_grant_type", "grant_type must be client_credentials")
        client = given.get("client_id", "")
        secrets = self._lake.world.clients
        if not client or (secrets is not None and secrets.get(client) != given.get("client_secret")):
            raise ims(self._lake.behaviour.bad_client_status, "invalid_client", "invalid client_id or client_secret")
        if not given.get("scope", given.get("scopes")):
            raise ims(400, "invalid_scope", "scope is missing")
        return json_reply(self._new_token(client))

    def _new_token(self, client: str) -> dict[str, object]:
        lifetime = self._lake.behaviour.token_ttl_s
        serial = self._lake.store.number(TOKENS) + 1
        self._lake.store.set_number(TOKENS, serial)
        token = Token(client=client, serial=serial, expires=self._lake.now() + lifetime * 1000)
        return {"access_token": write_token(token), "token_type": "bearer", "expires_in": lifetime}

    def expire_tokens(self) -> None:
        """Make every token invalid that was given out so far."""
        self._expired = self._lake.store.number(TOKENS)
        self._lake.store.set_number(EXPIRED_TOKENS, self._expired)

    def admit(self, headers: Mapping[str, str]) -> Caller:
        """Return who asks, after the gateway's checks in its order (E3, E4, E5)."""
        token = headers.get("authorization", "")
        if not token:
            raise gateway("403010", "Oauth token is missing.")
        key = headers.get("x-api-key", "")
        if not key:
            raise gateway("403000", "Api Key is required")
        self._check_token(token.removeprefix("Bearer "), key)
        return Caller(org=self._org(headers), sandbox=self._sandbox(headers), client=key)

    def _check_token(self, text: str, key: str) -> None:
        clients = self._lake.world.clients
        token = read_token(text)
        if token is None and (is_ours(text) or clients is not None):
            raise expired_token()
        if token is not None and (token.serial <= self._expired or token.expires <= self._lake.now()):
            raise expired_token()
        if (token is not None and token.client != key) or (clients is not None and key not in clients):
            raise gateway("403003", "Api Key is invalid")

    def _org(self, headers: Mapping[str, str]) -> str:
        org = headers.get("x-gw-ims-org-id", "")
        if not org:
            raise gateway("400003", "Missing x-gw-ims-org-id header")
        if not ORG.fullmatch(org):
            raise gateway("403027", "User Region Missing")
        if self._lake.world.orgs is not None and org not in self._lake.world.orgs:
            raise gateway("403025", "Profile is not valid")
        return org

    def _sandbox(self, headers: Mapping[str, str]) -> str:
        sandbox = headers.get("x-sandbox-name") or DEFAULT_SANDBOX
        known = self._lake.world.sandboxes
        if known is not None and sandbox not in known:
            raise service(self._lake.behaviour.unknown_sandbox_status, f"sandbox {sandbox} not found or not allowed")
        return sandbox

    def count_creation(self, client: str) -> None:
        """Refuse a creation beyond the quota of one minute (E42)."""
        allowed = self._lake.behaviour.creations_per_minute
        if allowed is None:
            return
        now, recent = self._lake.now(), self._creations[client]
        while recent and recent[0] <= now - MINUTE_MS:
            recent.popleft()
        if len(recent) >= allowed:
            raise too_many_requests()
        recent.append(now)


def check_url(path_and_query: str) -> None:
    """Refuse a URL beyond 2,000 characters (E8)."""
    if len(REAL_HOST) + len(path_and_query) > MAX_URL:
        raise service(414, f"the URL is longer than {MAX_URL} characters")
