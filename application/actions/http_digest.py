"""Digest access authentication (RFC 7616), by httpx, which is imported only where a step asks for it."""

from __future__ import annotations

import httpx

from application.actions.http_messages import Response
from application.actions.http_url import Url
from application.engine.action import ActionError


class Digest:
    """User and password, and the last challenge of the server, which is answered before it is made again."""

    def __init__(self, username: str, password: str) -> None:
        self._auth = httpx.DigestAuth(username, password)

    def exchange(self, method: str, url: Url) -> DigestExchange:
        """For one request."""
        return DigestExchange(self._auth, method, url)


class DigestExchange:
    """The authorization of one request, which is sent a second time when it is challenged."""

    def __init__(self, auth: httpx.DigestAuth, method: str, url: Url) -> None:
        self._request = httpx.Request(method, str(url))
        self._flow = auth.auth_flow(self._request)
        next(self._flow)

    @property
    def authorization(self) -> str:
        """The value of the header; empty before there was a challenge."""
        value: str = self._request.headers.get("authorization", "")
        return value

    def challenged(self, response: Response) -> bool:
        """Whether the answer asks to send the request again. ActionError `protocol` for a challenge that cannot be answered."""
        try:
            self._flow.send(httpx.Response(response.status, headers=list(response.headers), request=self._request))
        except StopIteration:
            return False
        except httpx.ProtocolError as error:
            raise ActionError("protocol", f"the digest challenge cannot be answered: {error}") from None
        return True
