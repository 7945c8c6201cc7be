"""The cookies of one execution: kept and sent by the rules of http.cookiejar for domain, path, expiry and Secure."""

from __future__ import annotations

from email.message import Message
from http.cookiejar import CookieJar
from urllib.request import Request as JarRequest

from application.actions.http_messages import Response, header_text
from application.actions.http_url import Url


class Cookies:
    """A jar. It is made when the first answer sets one: most executions need none."""

    def __init__(self) -> None:
        self._jar = CookieJar()

    def take(self, url: Url, response: Response) -> None:
        """Keep what an answer from this URL sets, if it may."""
        self._jar.extract_cookies(_Answer(response), _asked(url))  # type: ignore[arg-type]

    def header(self, url: Url) -> str:
        """What is sent to this URL, as in a Cookie header."""
        request = _asked(url)
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie") or ""

    def values(self) -> dict[str, str]:
        """Values by name."""
        return {cookie.name: cookie.value or "" for cookie in self._jar}


class _Answer:
    """As much of an answer as the jar looks at."""

    def __init__(self, response: Response) -> None:
        self._message = Message()
        for name, value in response.headers:
            if name.lower() == b"set-cookie":
                self._message["Set-Cookie"] = header_text(value)

    def info(self) -> Message:
        """Its headers."""
        return self._message


def _asked(url: Url) -> JarRequest:
    return JarRequest(str(url))  # noqa: S310 - never opened: the jar reads host, path and scheme from it
