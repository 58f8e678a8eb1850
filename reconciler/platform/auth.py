"""The headers that AEP's gateway asks of each request, and the access token (aep-api.md §1.1, §2.1).

Tokens are kept in memory only. A renewal is one task for which all requests wait; a request whose token was refused is
repeated with another one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from reconciler.core.errors import NeverSent, PlatformError, Unauthorized
from reconciler.platform.answer import Unreadable
from reconciler.platform.outcome import WITHOUT_VERDICT, Outcome
from reconciler.platform.problems import Failure, Operation, failure_of_body
from reconciler.platform.sending import send
from reconciler.settings import ReadyToken, Secret, ServerToServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from reconciler.core.batch import Json
    from reconciler.core.manifests.project import Environment
    from reconciler.platform.retry import Retries
    from reconciler.settings import Credentials, Redactor

TOKEN_PATH = "/ims/token/v3"  # noqa: S105  (a path)
LARGEST_TOKEN_ANSWER = 64 * 1024
"""Bytes."""
RENEWAL_MARGIN = 300.0
"""Seconds before its end at which a token is renewed; a quarter of its lifetime if that is less."""
LONGEST_LIFETIME = 86_400.0
"""Seconds: tokens live a day at most, whatever `expires_in` says (an older service counted it in milliseconds)."""
ASSUMED_LIFETIME = 3_600.0
"""Seconds, when IMS does not say."""
MOST_TRIES = 3
"""With the current token, with one that another request renewed meanwhile, with one renewed for this request."""

GET_TOKEN = Operation("give a token", is_read=True, service="IMS", url_variable="AEP_IMS_URL")
CREDENTIAL_HINT = "check `AEP_CLIENT_ID`, `AEP_CLIENT_SECRET` and `AEP_SCOPES` against the project in Developer Console"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token."""

    secret: Secret
    usable_until: float
    """Seconds of `Timing.clock`."""


class Tokens:
    """The current token of one credential. At most one renewal is under way."""

    def __init__(
        self, credentials: Credentials, ims_url: str, client: httpx.AsyncClient, retries: Retries, redactor: Redactor
    ) -> None:
        self._credentials = credentials
        self._url = ims_url + TOKEN_PATH
        self._client = client
        self._retries = retries
        self._redactor = redactor
        self._token: Token | None = None
        self._was_accepted = True
        """Whether AEP took the current token at least once, or it is the first."""
        self._renewal: asyncio.Task[Token] | None = None
        self._refusal: Unauthorized | None = None

    async def current(self) -> Token:
        """Return a token that does not end soon. Raises `Unauthorized` or `NeverSent` when there is none."""
        match self._credentials:
            case ReadyToken(access_token=secret):
                return Token(secret, float("inf"))
            case ServerToServer():
                token = self._token
                if token is None or self._retries.timing.clock() >= token.usable_until:
                    return await self._renewed()
                return token

    async def replacement_for(self, refused: Token) -> tuple[Token, bool] | None:
        """Return a token for a request whose token AEP refused, and whether it was renewed for this request.

        None when there is no other: a ready token cannot be renewed, and a renewed one that AEP has never accepted is
        not renewed again. So a credential that AEP always refuses does not cost a new token for each request.
        """
        if isinstance(self._credentials, ReadyToken):
            return None
        token = await self.current()
        if token.secret != refused.secret:
            return token, False
        if not self._was_accepted:
            return None
        return await self._renewed(), True

    def accepted(self, token: Token) -> None:
        """Remember that AEP did not refuse the token."""
        if token is self._token:
            self._was_accepted = True

    async def aclose(self) -> None:
        """Cancel a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    async def _renewed(self) -> Token:
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(self._renewal_ended)
        return await asyncio.shield(self._renewal)

    def _renewal_ended(self, renewal: asyncio.Task[Token]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # the requests that waited got it; so asyncio does not report it again

    async def _renew(self) -> Token:
        try:
            token = await self._retries.run(self._request_token, WITHOUT_VERDICT)
        except Unauthorized as error:
            self._refusal = error
            raise
        except PlatformError as error:
            raise NeverSent(
                "IMS gives no token, so nothing was sent to AEP",
                detail=f"{error.summary}: {error.detail}" if error.detail else error.summary,
                hint=error.hint,
                status=error.status,
                request_id=error.request_id,
            ) from error
        self._was_accepted = self._token is None
        self._token = token
        return token

    async def _request_token(self) -> Token | Failure:
        timing = self._retries.timing
        started = timing.clock()
        answer = await send(
            self._client,
            self._client.build_request("POST", self._url, data=self._form()),
            GET_TOKEN,
            max_bytes=LARGEST_TOKEN_ANSWER,
            redactor=self._redactor,
            timing=timing,
        )
        if isinstance(answer, Failure):
            return _about_credential(answer)
        try:
            token = read_token(answer.json(), started)
        except Unreadable as problem:  # without an excerpt: the body may hold a token
            bare = replace(answer, body=b"")
            return failure_of_body(GET_TOKEN, bare, problem, self._redactor.redact)
        self._redactor.add(token.secret)
        return token

    def _form(self) -> dict[str, str]:
        match self._credentials:
            case ServerToServer() as credential:
                return {
                    "grant_type": "client_credentials",
                    "client_id": credential.client_id.reveal(),
                    "client_secret": credential.client_secret.reveal(),
                    "scope": credential.scopes,
                }
            case ReadyToken():
                return {}


def _about_credential(failure: Failure) -> Failure:
    """A definite no of IMS concerns the credential, whatever its status (aep-api.md §2.1: 400 or 401, unverified)."""
    if failure.outcome not in {Outcome.REJECTED, Outcome.UNAUTHORIZED}:
        return failure
    problem = failure.error
    is_about_credential = problem.status in {400, 401, 403}
    error = Unauthorized(
        f"IMS refuses the credential ({problem.status})" if is_about_credential else problem.summary,
        detail=problem.detail,
        hint=CREDENTIAL_HINT if is_about_credential else "is `AEP_IMS_URL` right?",
        status=HTTPStatus.UNAUTHORIZED,  # also for a 400 of IMS: a 400 of AEP means a wrong request
        request_id=problem.request_id,
    )
    return Failure(failure.outcome, error)


def read_token(body: Json, started: float) -> Token:
    """Return the token of an IMS answer. Raises `Unreadable`.

    `started` is when the request was sent, in seconds of the clock: from then on its lifetime is counted.
    """
    if not isinstance(body, dict):
        raise Unreadable("the body is no object")
    text = body.get("access_token")
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Unreadable("the body holds no access token")
    lifetime = _lifetime(body.get("expires_in"))
    return Token(Secret(text), started + lifetime - min(RENEWAL_MARGIN, lifetime / 4))


def _lifetime(expires_in: Json) -> float:
    match expires_in:
        case bool():
            return ASSUMED_LIFETIME
        case int() | float() if expires_in > 0:
            return float(min(expires_in, LONGEST_LIFETIME))
        case str() if expires_in.isdecimal() and float(expires_in) > 0:
            return min(float(expires_in), LONGEST_LIFETIME)
        case _:
            return ASSUMED_LIFETIME


class GatewayAuth(httpx.Auth):
    """Adds the headers to every request, and repeats a request whose token was refused."""

    def __init__(self, tokens: Tokens, credentials: Credentials, environment: Environment) -> None:
        self._tokens = tokens
        self._api_key = credentials.api_key
        self._environment = environment

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request, and after a 401 send it again with another token (aep-api.md §10, 4)."""
        token, is_renewed = await self._tokens.current(), False
        for tries in range(1, MOST_TRIES + 1):
            response = yield self._signed(request, token)
            if response.status_code != httpx.codes.UNAUTHORIZED:
                self._tokens.accepted(token)
                return
            if is_renewed or tries == MOST_TRIES:
                return
            replacement = await self._tokens.replacement_for(token)
            if replacement is None:
                return
            token, is_renewed = replacement

    def _signed(self, request: httpx.Request, token: Token) -> httpx.Request:
        request.headers["authorization"] = f"Bearer {token.secret.reveal()}"
        request.headers["x-api-key"] = self._api_key.reveal()
        request.headers["x-gw-ims-org-id"] = self._environment.org
        # Without it a request goes to the default production sandbox (aep-api.md §1.2).
        request.headers["x-sandbox-name"] = self._environment.sandbox
        request.headers["accept"] = "application/json"
        return request
