"""Counts as they travel: names by Prometheus' conventions, bounded labels, one family however many processes."""

import re

import msgspec
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from models.jobs import Queue
from tasks.broker.tally import Tally
from wire import metrics
from wire.metrics import Exposition, Family, Requests, new_registry, snapshot

BASE_UNITS = ("_seconds", "_bytes", "_ratio")
OTHER_UNITS = re.compile(r"_(ms|milliseconds|minutes|hours|days|kb|mb|percent)(_|$)")


def everything() -> list[Family]:
    """The families of every kind of process."""
    registry = new_registry()
    web = metrics.Web(registry)
    web.requests.answered("GET", "/api/projects", 200, 0.01)
    web.waits.labels("ended").inc()
    metrics.Relay(registry)
    metrics.Clock(registry).enqueued.labels("escrow.sweep").inc()
    metrics.Realtime(registry)
    metrics.Worker(lambda: 3, registry)
    Tally((Queue.MAIL,), registry)
    return snapshot(registry)


def parsed(text: bytes) -> dict[str, Metric]:
    return {one.name: one for one in text_string_to_metric_families(text.decode())}


def test_every_name_follows_the_conventions():
    for family in everything():
        assert re.fullmatch(r"megilance_[a-z]+(_[a-z]+)*", family.name), family.name
        assert not OTHER_UNITS.search(family.name), family.name
        assert family.help.endswith("."), family.name
        assert family.type in {"counter", "gauge", "histogram"}, family.name
        assert family.type != "histogram" or family.name.endswith(BASE_UNITS), family.name
        assert family.type != "gauge" or not family.name.endswith(("_total", "_count")), family.name


def test_what_is_written_as_json_is_read_back_and_parsed_as_it_was():
    before = everything()
    after = msgspec.json.decode(msgspec.json.encode(before), type=list[Family])
    assert after == before

    said = Exposition()
    said.add(after, {"process": "web", "instance": "a:1"})
    found = parsed(said.text())
    assert set(found) == {family.name for family in before}
    assert {one.name for family in found.values() for one in family.samples if "_created" in one.name} == set()
    (request,) = found["megilance_http_requests"].samples
    assert request.labels == {
        "method": "GET", "route": "/api/projects", "status": "2xx", "process": "web", "instance": "a:1",
    }  # fmt: skip
    assert request.value == 1


def test_one_name_of_two_processes_is_one_family_with_both_lines():
    said = Exposition()
    for instance in ("a:1", "b:2"):
        said.add(everything(), {"process": "relay", "instance": instance})
    text = said.text().decode()

    assert text.count("# TYPE megilance_relay_lag_seconds gauge") == 1
    assert [one.labels["instance"] for one in parsed(text.encode())["megilance_relay_lag_seconds"].samples] == [
        "a:1",
        "b:2",
    ]


def test_another_releases_meaning_of_a_name_is_left_out():
    said = Exposition()
    said.add([Family("megilance_x", "gauge", "One.", [metrics.Sample("megilance_x", {"n": "1"}, 1)])])
    said.add([Family("megilance_x", "counter", "Two.", [metrics.Sample("megilance_x_total", {"n": "2"}, 2)])])

    assert [one.value for one in parsed(said.text())["megilance_x"].samples] == [1]


@pytest.mark.parametrize(
    ("method", "route", "status", "expected"),
    [
        ("GET", "/api/jobs/{job_id:uuid}", 200, {"method": "GET", "route": "/api/jobs/{job_id:uuid}", "status": "2xx"}),
        ("GET", None, 404, {"method": "GET", "route": "(none)", "status": "4xx"}),
        ("BREW", None, 405, {"method": "OTHER", "route": "(none)", "status": "4xx"}),
        ("POST", "/api/x", 503, {"method": "POST", "route": "/api/x", "status": "5xx"}),
        ("POST", "/api/x", 999, {"method": "POST", "route": "/api/x", "status": "0xx"}),
    ],
)
def test_no_label_is_what_a_stranger_wrote(method: str, route: str | None, status: int, expected: dict[str, str]):
    registry = new_registry()
    Requests(registry).answered(method, route, status, 0.2)

    (total, durations) = snapshot(registry)
    assert [(one.labels, one.value) for one in total.samples] == [(expected, 1)]
    values = {one.labels["le"]: one.value for one in durations.samples if one.name.endswith("_bucket")}
    assert (values["0.1"], values["0.25"], values["+Inf"]) == (0, 1, 1)
