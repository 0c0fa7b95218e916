"""Log lines: their two forms, and what they say of the request that they are for."""

from __future__ import annotations

import io
import json
import logging

import pytest

from meshd import log, request_id


@pytest.mark.usefixtures("_logging_as_before")
def test_log_lines_are_text_or_json_from_the_given_level_on() -> None:
    out = io.StringIO()
    log.configure("info", "text", out)
    logging.getLogger("meshd.some").debug("quiet")
    logging.getLogger("meshd.some").warning("port %d", 80)
    line = out.getvalue()
    assert line.endswith("Z WARNING meshd.some: port 80\n")
    assert line[10] == "T"

    out = io.StringIO()
    log.configure("debug", "json", out)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("meshd.some").exception("it\nfailed")
    written = json.loads(out.getvalue())
    assert (written["level"], written["logger"], written["text"]) == ("error", "meshd.some", "it\nfailed")
    assert "ValueError: broken" in written["error"]


HEADERS = (("x-user", "user"), ("name-bin", "name"), ("x-none", "none"))
METADATA = (("x-request-id", "r-1"), ("x-user", "a b"), ("x-user", 'eve"] x: y'), ("name-bin", "Zoë".encode()))


@pytest.mark.usefixtures("_logging_as_before", "_no_request")
def test_a_text_line_says_whose_request_it_is_for() -> None:
    out = io.StringIO()
    log.configure("info", "text", out, HEADERS)
    request_id.take(METADATA)
    logging.getLogger("meshd.some").info("done")
    assert out.getvalue().partition("Z ")[2] == (
        'INFO    meshd.some [request=r-1 user="eve\\"] x: y" name="Zoë"]: done\n'
    )


@pytest.mark.usefixtures("_logging_as_before", "_no_request")
def test_a_json_line_says_whose_request_it_is_for() -> None:
    out = io.StringIO()
    log.configure("info", "json", out, HEADERS)
    logging.getLogger("meshd.some").info("before")
    request_id.take(METADATA)
    logging.getLogger("meshd.some").info("done")
    before, done = (json.loads(line) for line in out.getvalue().splitlines())
    assert {"request", "context"} & set(before) == set()
    assert (done["request"], done["context"]) == ("r-1", {"user": 'eve"] x: y', "name": "Zoë"})


@pytest.mark.usefixtures("_logging_as_before", "_no_request")
def test_no_header_is_logged_unless_it_is_asked_for() -> None:
    for form in ("text", "json"):
        out = io.StringIO()
        log.configure("info", form, out)
        request_id.take(METADATA)
        logging.getLogger("meshd.some").info("done")
        assert "r-1" in out.getvalue()
        assert "user" not in out.getvalue()
