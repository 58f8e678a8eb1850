"""Who we are to AEP: the five headers of each request, and the token, kept in memory only (aep-api.md §1.1, §2.1).

A renewal is one task that everybody waits for; a request whose token was refused is repeated once with a new one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from reconciler.core.errors import NeverSent, PlatformError, Unauthorized
from reconciler.platform.answer import Answer, Unreadable
from reconciler.platform.outcome import WITHOUT_VERDICT, Outcome
from reconciler.platform.problems import Asked, Failure, failure_of_body
from reconciler.platform.sending import Sending, send
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
MARGIN = 300.0
"""Seconds before its end at which a token is renewed; a quarter of its life if that is less."""
LONGEST_LIFE = 86_400.0
"""Seconds: tokens live a day at most, whatever `expires_in` says (an older service counted it in milliseconds)."""
ASSUMED_LIFE = 3_600.0
"""Seconds, when nothing is said."""
REPEATS = 2
"""One with a token that somebody else renewed meanwhile, one with a token renewed for this very request."""

RENEW = Asked("give a token", is_read=True, service="IMS", variable="AEP_IMS_URL")
CREDENTIAL_HINT = "check `AEP_CLIENT_ID`, `AEP_CLIENT_SECRET` and `AEP_SCOPES` against the project in Developer Console"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and until when (by the clock) it may be used."""

    secret: Secret
    usable_until: float


class Tokens:
    """The token of one credential: one renewal at a time, whoever needs it."""

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
        """Return a token that is not about to end. Raises `Unauthorized` or `NeverSent` when there is none."""
        match self._credentials:
            case ReadyToken(access_token=secret):
                return Token(secret, float("inf"))
            case ServerToServer():
                token = self._token
                if token is None or self._retries.timing.clock() >= token.usable_until:
                    return await self._renewed()
                return token

    async def instead_of(self, refused: Token) -> tuple[Token, bool] | None:
        """Return a token for a request whose token AEP refused, and whether it was renewed for it.

        None when there is no other: a ready token, or one that was new and that AEP has never accepted. So a
        credential that AEP refuses for good does not ask for a token per request.
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
        """Take note that AEP did not refuse the token."""
        if token is self._token:
            self._was_accepted = True

    async def aclose(self) -> None:
        """End a renewal that nobody waits for any more."""
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
            renewal.exception()  # those who waited have heard it; nobody else must

    async def _renew(self) -> Token:
        try:
            token = await self._retries.run(self._ask, WITHOUT_VERDICT)
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

    async def _ask(self) -> Token | Failure:
        timing = self._retries.timing
        began = timing.clock()
        request = self._client.build_request("POST", self._url, data=self._form())
        sending = Sending(RENEW, LARGEST_TOKEN_ANSWER, self._redactor, timing)
        answer = await send(self._client, request, None, sending)
        if isinstance(answer, Failure):
            return _refused(answer)
        try:
            token = read_token(answer.json(), began)
        except Unreadable as problem:  # no excerpt: whatever the body is, it may hold a token
            return failure_of_body(RENEW, Answer(answer.status, answer.headers, b""), problem, self._redactor.redact)
        self._redactor.learn(token.secret)
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


def _refused(failure: Failure) -> Failure:
    """A definite no of IMS concerns the credential, whatever its status (aep-api.md §2.1: 400 or 401, unverified)."""
    if failure.outcome not in {Outcome.REJECTED, Outcome.UNAUTHORIZED}:
        return failure
    problem = failure.error
    is_about_credential = problem.status in {400, 401, 403}
    error = Unauthorized(
        f"IMS refuses the credential ({problem.status})" if is_about_credential else problem.summary,
        detail=problem.detail,
        hint=CREDENTIAL_HINT if is_about_credential else "is `AEP_IMS_URL` right?",
        status=HTTPStatus.UNAUTHORIZED,  # not IMS's own: a 400 of AEP is about the request, this is not
        request_id=problem.request_id,
    )
    return Failure(failure.outcome, error)


def read_token(body: Json, began: float) -> Token:
    """Return the token of an IMS answer, asked for at `began` (by the clock). Raises `Unreadable`."""
    if not isinstance(body, dict):
        raise Unreadable("the body is no object")
    text = body.get("access_token")
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Unreadable("the body holds no access token")
    life = _life(body.get("expires_in"))
    return Token(Secret(text), began + life - min(MARGIN, life / 4))


def _life(expires_in: Json) -> float:
    match expires_in:
        case bool():
            return ASSUMED_LIFE
        case int() | float() if expires_in > 0:
            return min(float(expires_in), LONGEST_LIFE)
        case str() if expires_in.isdecimal() and int(expires_in) > 0:
            return min(float(expires_in), LONGEST_LIFE)
        case _:
            return ASSUMED_LIFE


class GatewayAuth(httpx.Auth):
    """Adds what AEP's gateway asks of every request, and repeats a request whose token was refused."""

    def __init__(self, tokens: Tokens, credentials: Credentials, environment: Environment) -> None:
        self._tokens = tokens
        self._api_key = credentials.api_key
        self._environment = environment

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request, and after a 401 once more with another token (aep-api.md §10, 4)."""
        token = await self._tokens.current()
        for _ in range(REPEATS):
            response = yield self._signed(request, token)
            if response.status_code != httpx.codes.UNAUTHORIZED:
                self._tokens.accepted(token)
                return
            other = await self._tokens.instead_of(token)
            if other is None:
                return
            token, is_new = other
            if is_new:
                break
        response = yield self._signed(request, token)
        if response.status_code != httpx.codes.UNAUTHORIZED:
            self._tokens.accepted(token)

    def _signed(self, request: httpx.Request, token: Token) -> httpx.Request:
        request.headers["authorization"] = f"Bearer {token.secret.reveal()}"
        request.headers["x-api-key"] = self._api_key.reveal()
        request.headers["x-gw-ims-org-id"] = self._environment.org
        # Without it a request goes to the default production sandbox (aep-api.md §1.2).
        request.headers["x-sandbox-name"] = self._environment.sandbox
        request.headers["accept"] = "application/json"
        return request
