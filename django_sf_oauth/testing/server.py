"""The fake on a real port, for browsers and for the demo."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable
from http.client import responses
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from .adapter import ForeignHost
from .http import Request, Response, drops, respond_word

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from .fake import FakeSalesforce

LONGEST_BODY = 1_000_000  # bytes
POLL_INTERVAL = 0.05  # seconds until the thread sees that it shall stop


class NotLoopback(ValueError):
    """The fake hands out tokens to whoever asks: nobody else's machine should be able to."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host!r} is not this machine alone; allow_remote=True serves there all the same.")


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 256  # of the five that are usual, a race of callers would see the next ones reset

    def server_bind(self) -> None:
        # HTTPServer's own would ask the name service for the name of this address.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    """Writes no access log, for the request line holds the state of the flow. The panel shows what came."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
        pass


class FakeServer:
    """Serves a fake at one origin, which is at once its login host and the instance of all its orgs.

    Requests for another host name are refused, so that a page elsewhere cannot reach it by DNS rebinding.

    Args:
        port: 0 picks a free one.
        allow_remote: serve on an address that other machines can reach.
        origin: how browsers and sites reach it, if not at ``http://host:port``.

    Raises:
        NotLoopback: the host is reachable from elsewhere, and `allow_remote` is not set.
    """

    def __init__(
        self,
        fake: FakeSalesforce,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
        origin: str | None = None,
    ) -> None:
        if not (allow_remote or is_loopback(host)):
            raise NotLoopback(host)
        server_class = type("_Server", (_ThreadingServer,), {"address_family": _family(host)})
        self._server: _ThreadingServer = server_class((host, port), _QuietHandler)
        self._server.set_app(wsgi_application(fake))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_INTERVAL,), name="fake-salesforce", daemon=True
        )
        self.fake = fake
        bracketed = f"[{host}]" if ":" in host else host
        self.url = origin or f"http://{bracketed}:{self._server.server_port}"

    def __enter__(self) -> FakeServer:
        self.fake.world.origin = self.url
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.fake.world.origin = None

    def wait(self) -> None:
        """Blocks until the server is stopped or the thread is interrupted."""
        self._thread.join()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address. A name counts only as ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def wsgi_application(
    fake: FakeSalesforce,
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """The fake as a WSGI application, for any server.

    An answer that is to be lost is raised as a `ConnectionAbortedError`, on which wsgiref hangs up.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer = fake.handle(_received(environ))
        except ForeignHost as error:
            answer = respond_word(str(error), status=421)
        start_response(_status_line(answer), list(answer.headers.items()))
        return drops(answer, fake.faults.sleep)

    return application


def _received(environ: WSGIEnvironment) -> Request:
    length = min(int(environ.get("CONTENT_LENGTH") or 0), LONGEST_BODY)
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    path = environ.get("PATH_INFO", "/")
    return Request(
        method=environ["REQUEST_METHOD"],
        url=f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}{path}{query}",
        headers={
            **{
                name.removeprefix("HTTP_").replace("_", "-").lower(): value
                for name, value in environ.items()
                if name.startswith("HTTP_")
            },
            "content-type": environ.get("CONTENT_TYPE", ""),
        },
        body=environ["wsgi.input"].read(length).decode(errors="replace"),
    )


def _status_line(answer: Response) -> str:
    return f"{answer.status} {responses.get(answer.status, 'Unknown')}"
