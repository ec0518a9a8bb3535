"""Who may call the server: the page that it served itself, and scripts that its user runs.

A browser lets every site send requests to 127.0.0.1, and a name that the site's owner points there (DNS rebinding) lets
it read the answers. So a request must name the server by a name of its own, must not come from another site's page,
and beyond this machine must know a token.
"""

import dataclasses
import hmac
import ipaddress
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import SplitResult, parse_qs, urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_COOKIE = "emotion_gcn_token"


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclasses.dataclass(frozen=True)
class Door:
    """Decides about requests by their headers.

    Attributes:
        host: where the server is bound.
        port: likewise.
        token: what a visitor must know; empty if none is needed.
    """

    host: str
    port: int
    token: str

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Says why a request is refused: an HTTP status and a sentence; None lets it in."""
        if _split(path) is None:
            return 400, "The address of this request cannot be read: open the address that the server printed."
        host = headers.get("Host", "")
        if not self._is_ours(host):
            return 421, "This server was called by a name that is not its own: open the address that it printed."
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "none")
        foreign_origin = origin is not None and getattr(_split(origin), "netloc", None) != host
        if foreign_origin or (method == "POST" and site not in ("same-origin", "none")):
            return 403, "Another site's page may not call this server: open the address that it printed."
        if self.token and not any(hmac.compare_digest(t.encode(), self.token.encode()) for t in _given(path, headers)):
            return 401, "This server needs its token: open the whole address that it printed, with ?token= at its end."
        return None

    def cookie(self, path: str) -> str | None:
        """The Set-Cookie header for who came by an address with the token; None if that needs none."""
        if not self.token or self.token not in _in_address(path):
            return None
        return f"{_COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"

    def _is_ours(self, host: str) -> bool:
        """Bound to every address (0.0.0.0), the server has names that it cannot know: there the token guards it."""
        names = {*LOOPBACK_NAMES, f"[{self.host}]" if ":" in self.host else self.host}
        ours = {f"{name}:{self.port}" for name in names} | (names if self.port == 80 else set())
        return host.lower() in ours or (bool(self.token) and not is_loopback(self.host))


def _given(path: str, headers: Mapping[str, str]) -> list[str]:
    """The tokens that a request brings: in its address, in a cookie, or in Authorization for a script."""
    tokens = _in_address(path)
    try:
        cookies = SimpleCookie(headers.get("Cookie", ""))
    except CookieError:
        cookies = SimpleCookie()
    if _COOKIE in cookies:
        tokens.append(cookies[_COOKIE].value)
    kind, _, value = headers.get("Authorization", "").partition(" ")
    return [*tokens, value] if kind == "Bearer" else tokens


def _in_address(path: str) -> list[str]:
    return parse_qs(urlsplit(path).query).get("token", [])


def _split(address: str) -> SplitResult | None:
    """An address's parts; None if it is none, such as http://[."""
    try:
        return urlsplit(address)
    except ValueError:
        return None
