"""Everything that leaves the site, or may be kept of it, as text to look through."""

from __future__ import annotations

import logging
import pickle
import pprint
import reprlib
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from types import TracebackType
from typing import Any

from django.apps import apps
from django.core import mail
from django.core.management import call_command
from django.db import connection, models
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter, technical_500_response
from django.views.decorators import debug

from .plants import MARK, traces

__all__ = ["SINKS", "Listener", "Net", "chain", "frames", "warned"]

SINKS = (
    "broker",
    "debug page",
    "error report",
    "exception",
    "fixture",
    "locals",
    "log",
    "mail",
    "output",
    "page",
    "pickle",
    "repr",
    "row",
    "sql",
    "warning",
)
OURS = "/django_sf_oauth/"
FAKE = "/django_sf_oauth/testing/"
WRAPPERS = debug.__file__  # of `sensitive_variables`: they hold the arguments of what they wrap
WIDE = reprlib.Repr()
WIDE.maxstring = WIDE.maxother = 100_000
WIDE.maxdict = WIDE.maxlist = WIDE.maxtuple = WIDE.maxset = 1000


class Net:
    """What was caught, by sink."""

    def __init__(self) -> None:
        self.caught: dict[str, list[str]] = {sink: [] for sink in SINKS}
        self.draws = False  # a page of its own, of which Django's templates log what they are given

    def throw(self, sink: str, text: object) -> None:
        self.caught[sink].append(str(text))

    def hits(self, *, but: Collection[str] = ()) -> list[str]:
        """Where a planted secret was found, with what stands round it; some sinks may be left out."""
        return [
            f"{sink}: {sorted(found)} in {_excerpt(text)}"
            for sink, texts in self.caught.items()
            for text in texts
            if sink not in but and (found := traces(text))
        ]

    # An error that somebody may report

    def see(self, error: BaseException) -> None:
        """Keeps all that reporters make of an error: its chain, its frames, Django's pages."""
        self.walk(error)
        self.draws = True
        try:
            self._draw(error)
        finally:
            self.draws = False

    def _draw(self, error: BaseException) -> None:
        kind, trace = type(error), error.__traceback__
        request = RequestFactory().get("/")
        reporter = ExceptionReporter(request, kind, error, trace)
        self.throw("error report", reporter.get_traceback_html())
        self.throw("error report", reporter.get_traceback_text())
        with override_settings(DEBUG=True):
            self.throw("debug page", technical_500_response(request, kind, error, trace).content.decode())

    def walk(self, error: BaseException) -> None:
        """Keeps the texts of its chain, and the variables of each frame, as Sentry sends them."""
        for one in chain(error):
            self.throw("exception", f"{one!r} {one} {one.args!r} {vars(one)!r} {getattr(one, '__notes__', '')}")
            self.throw("exception", "".join(traceback.format_exception(one, chain=False)))
        for one in chain(error, hidden=False):
            for frame in frames(one.__traceback__):
                self.throw("locals", "\n".join(f"{name}={WIDE.repr(value)}" for name, value in frame.items()))

    # What can be looked at afterwards

    def sweep(self) -> None:
        """Looks at the database, the mails and the public objects."""
        self.throw("sql", pprint.pformat(list(connection.queries_log)))
        for model in apps.get_models():
            self._sweep_rows(model)
        for message in getattr(mail, "outbox", []):
            self.throw("mail", message.message().as_string())
            self.throw("mail", f"{message.subject} {message.body} {message.alternatives}")
        for form in ("json", "xml", "jsonl"):
            out = StringIO()
            call_command("dumpdata", format=form, stdout=out)
            self.throw("fixture", out.getvalue())

    def _sweep_rows(self, model: type[models.Model]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")  # noqa: S608
            self.throw("row", [[_text(value) for value in row] for row in cursor.fetchall()])
        for row in model._base_manager.all():
            self.throw("repr", f"{row!r} {row} {vars(row)!r}")
            self.throw("pickle", pickle.dumps(row).decode("latin-1"))
        self.throw("repr", list(model._base_manager.values()))


class Listener(logging.Handler):
    """Hears each record as a handler with every right would: message, arguments, extras, traceback, frames."""

    def __init__(self, net: Net) -> None:
        super().__init__(logging.NOTSET)
        self.net = net

    def emit(self, record: logging.LogRecord) -> None:
        if self.net.draws:
            return
        self.net.throw("log", f"{record.getMessage()} {vars(record)!r}")
        if record.exc_info and record.exc_info[1]:
            self.net.walk(record.exc_info[1])

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Inside, every logger is at DEBUG, and none keeps its records to itself."""
        loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict] + [logging.root]
        before = [(logger, logger.level, logger.propagate, logger.disabled) for logger in loggers]
        for logger in loggers:
            logger.level, logger.propagate, logger.disabled = logging.DEBUG, True, False
        logging.root.manager._clear_cache()  # type: ignore[attr-defined]  # what each logger is enabled for
        logging.root.addHandler(self)
        try:
            yield
        finally:
            logging.root.removeHandler(self)
            for logger, level, propagate, disabled in before:
                logger.level, logger.propagate, logger.disabled = level, propagate, disabled
            logging.root.manager._clear_cache()  # type: ignore[attr-defined]


@contextmanager
def warned(net: Net) -> Iterator[None]:
    """Keeps the warnings, as a site does that only logs them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        net.throw("warning", f"{one.message!r} {one.message} {one.line}")


def chain(error: BaseException, *, hidden: bool = True) -> Iterator[BaseException]:
    """The error and all that led to it; also what ``from None`` hides, which every reporter leaves out."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.append(one)
            context = None if one.__suppress_context__ and not hidden else one.__context__
            waiting += [other for other in (one.__cause__, context) if other is not None]
    return iter(seen)


def frames(trace: TracebackType | None) -> Iterator[Mapping[str, Any]]:
    """The variables of each frame of the package and of its decorators, the fake's own left out."""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if (OURS in name and FAKE not in name) or name == WRAPPERS:
            yield trace.tb_frame.f_locals
        trace = trace.tb_next


def _text(value: object) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


def _excerpt(text: str, width: int = 160) -> str:
    at = max(text.find(MARK), 0)
    return " ".join(text[max(0, at - width) : at + width].split())
