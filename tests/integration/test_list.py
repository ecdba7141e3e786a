"""The list of certificates: every filter with every size of page, and queries that are none."""

import datetime
import itertools
import os
import time

import pytest

import cadtest
import csrs
from csrs import csr, dns, email, ip

KEYS = [csrs.EcKey() for _ in range(3)]


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        made = []
        for number in range(24):
            names = [dns(f"h{number}.a.lan" if number % 2 else f"h{number}.b.lan")]
            profile, fields = ("server", "client", "device")[number % 3], {}
            if number % 4 == 0:
                names.append(ip([10, 0, 0, number + 1]))
            if number % 5 == 0:
                names, profile = [email(f"u{number}@home.lan")], "user"
            if number % 6 == 0:
                fields["label"] = "six"
            if number % 7 == 0:
                fields["validity"] = "10d"
            made.append(daemon.issue(csr(KEYS[number % 3], names=names), profile=profile, **fields).expect(201).json["serial"])
        for number, serial in enumerate(made):
            reason = {1: "superseded", 4: "key_compromise", 9: "certificate_hold"}.get(number % 10)
            if reason:
                daemon.post(f"/v1/certificates/{serial}/revoke", {"reason": reason}).expect(200)
        daemon.rows = [daemon.get(f"/v1/certificates/{serial}").expect(200).json for serial in reversed(made)]
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


def listed(ca, query, limit):
    """All pages of a query. No page is longer than the limit, none but the last is empty."""
    rows, cursor = [], ""
    for _ in range(200):
        page = ca.get(f"/v1/certificates?limit={limit}{query and '&' + query}{cursor and '&cursor=' + cursor}").expect(200).json
        assert len(page["certificates"]) <= limit
        rows += page["certificates"]
        if not page["next"]:
            return rows
        cursor = page["next"]
    raise AssertionError("the pages do not end")


def later(days):
    return (datetime.datetime.utcnow() + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_order(query, serials):
    """The newest is first, but where what is valid or expires is asked for: that comes by its end."""
    return sorted(serials) if "status" in query else serials


FILTERS = {
    "": lambda row: True,
    "profile=server": lambda row: row["profile"] == "server",
    "profile=user": lambda row: row["profile"] == "user",
    "profile=nothing": lambda row: False,
    "status=valid": lambda row: row["status"] == "valid",
    "status=revoked": lambda row: row["status"] == "revoked",
    "status=held": lambda row: row["status"] == "held",
    "status=expired": lambda row: False,
    "issuer=int-1": lambda row: True,
    "issuer=int-2": lambda row: False,
    "label=six": lambda row: row.get("label") == "six",
    f"requester=uid%3A{os.geteuid()}": lambda row: True,
    "requester=uid%3A4711": lambda row: False,
    "name=h1.a.lan": lambda row: "h1.a.lan" in row["names"],
    "name=H1.A.LAN": lambda row: "h1.a.lan" in row["names"],
    "name=*.a.lan": lambda row: any(name.endswith(".a.lan") for name in row["names"]),
    "name=%2A.b.lan": lambda row: any(name.endswith(".b.lan") for name in row["names"]),
    "name=10.0.0.5": lambda row: "10.0.0.5" in row["names"],
    "name=u5@home.lan": lambda row: "u5@home.lan" in row["names"],
    "name=a.lan": lambda row: False,
    "name=*.nowhere.lan": lambda row: False,
    "profile=server&status=valid": lambda row: row["profile"] == "server" and row["status"] == "valid",
    "status=valid&name=*.a.lan": lambda row: row["status"] == "valid" and any(name.endswith(".a.lan") for name in row["names"]),
    "label=six&status=valid&profile=device": lambda row: row.get("label") == "six" and row["status"] == "valid" and row["profile"] == "device",
}


@pytest.mark.sanitize
@pytest.mark.parametrize("query", FILTERS, ids=lambda query: query or "all")
def test_a_filter_finds_what_it_says_on_pages_of_any_size(ca, query):
    wanted = [row["serial"] for row in ca.rows if FILTERS[query](row)]
    for limit in (1, 5, len(wanted) or 1, 1000):
        assert in_order(query, [row["serial"] for row in listed(ca, query, limit)]) == in_order(query, wanted), limit


def test_a_row_of_the_list_is_the_certificate_without_its_octets(ca):
    for row, whole in zip(listed(ca, "", 100), ca.rows):
        assert row == {name: value for name, value in whole.items() if name not in ("certificate", "chain")} | {"requester": f"uid:{os.geteuid()}"}


def test_hashes_find_exactly_theirs(ca):
    for row in ca.rows[:5]:
        assert [found["serial"] for found in listed(ca, f"fingerprint={row['fingerprint']}", 10)] == [row["serial"]]
        assert [found["serial"] for found in listed(ca, f"fingerprint={row['fingerprint'].upper()}", 10)] == [row["serial"]]
        same_key = [other["serial"] for other in ca.rows if other["spki"] == row["spki"]]
        assert [found["serial"] for found in listed(ca, f"spki={row['spki']}", 3)] == same_key
    assert listed(ca, "fingerprint=" + "0" * 64, 10) == [] == listed(ca, "spki=" + "f" * 64, 10)


def test_moments_bound_what_is_found(ca):
    short = [row["serial"] for row in ca.rows if row["not_after"] < later(20)]
    assert short and sorted(row["serial"] for row in listed(ca, f"expires_before={later(20)}", 4)) == sorted(short)
    assert sorted(row["serial"] for row in listed(ca, f"expires_after={later(20)}", 4)) == sorted(
        row["serial"] for row in ca.rows if row["serial"] not in short)
    assert len(listed(ca, f"issued_after={later(-1)}", 7)) == len(ca.rows) and not listed(ca, f"issued_after={later(1)}", 7)
    assert len(listed(ca, f"issued_before={later(1)}", 7)) == len(ca.rows) and not listed(ca, f"issued_before={later(-1)}", 7)
    assert not listed(ca, f"issued_after={later(-1)}&issued_before={later(-1)}", 7)


def test_a_page_does_not_move_while_others_issue():
    with cadtest.Daemon() as daemon:
        first = [daemon.issue(csr(names=[dns("nas.lan")])).expect(201).json["serial"] for _ in range(9)][::-1]
        page = daemon.get("/v1/certificates?limit=4").expect(200).json
        for _ in range(5):
            daemon.issue(csr(names=[dns("nas.lan")])).expect(201)
        seen = [row["serial"] for row in page["certificates"]]
        while page["next"]:
            page = daemon.get(f"/v1/certificates?limit=4&cursor={page['next']}").expect(200).json
            seen += [row["serial"] for row in page["certificates"]]
        assert seen == first


@pytest.mark.slow
def test_an_expired_certificate_is_shown_so():
    with cadtest.Daemon() as daemon:
        begin = (datetime.datetime.utcnow() - datetime.timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        serial = daemon.issue(csr(names=[dns("nas.lan")]), not_before=begin, validity="1803").expect(201).json["serial"]
        keeps = daemon.issue(csr(names=[dns("nas.lan")])).expect(201).json["serial"]
        assert daemon.get(f"/v1/certificates/{serial}").json["status"] == "valid"
        time.sleep(4.5)
        assert daemon.get(f"/v1/certificates/{serial}").json["status"] == "expired"
        assert [row["serial"] for row in listed(daemon, "status=expired", 5)] == [serial]
        assert [row["serial"] for row in listed(daemon, "status=valid", 5)] == [keeps]


# Cursors that were never given out; some look like one.
CURSORS = ["x", "0", "-1", "1", "AAAA", "9" * 18, "9" * 60, "%00", "%2e%2e", "null", "1.2.3", "'; DROP TABLE certificates; --".replace(" ", "%20").replace(";", "%3B")]


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_cursor_that_was_never_given_out_does_no_harm(ca, cursor):
    answer = ca.get(f"/v1/certificates?limit=3&cursor={cursor}").expect(200, 400)
    if answer.status == 400:
        assert answer.json["type"] == "urn:cad:problem:query-invalid" or "%" in cursor, answer
    assert len(listed(ca, "", 100)) == len(ca.rows)


def test_a_cursor_of_another_query_is_refused_or_harmless(ca):
    cursor = ca.get("/v1/certificates?limit=3&profile=server").expect(200).json["next"]
    answer = ca.get(f"/v1/certificates?limit=3&status=revoked&cursor={cursor}").expect(200, 400)
    if answer.status == 200:
        assert {row["status"] for row in answer.json["certificates"]} <= {"revoked"}


@pytest.mark.parametrize("query, field", [
    ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=-1", "limit"), ("limit=abc", "limit"), ("limit=", "limit"),
    ("limit=99999999999999999999", "limit"), ("limit=1.5", "limit"), ("status=gone", "status"), ("status=", "status"),
    ("fingerprint=abc", "fingerprint"), ("fingerprint=" + "g" * 64, "fingerprint"), ("spki=" + "0" * 66, "spki"),
    ("expires_before=tomorrow", "expires_before"), ("issued_after=2026-02-30T00:00:00Z", "issued_after"), ("issued_before=", "issued_before"),
    ("name=" + "x" * 2000, "name"), ("nothing=1", "nothing"), ("Status=valid", "Status"), ("cursor=!", "cursor"),
    ("limit=1&limit=2", None), ("=1", None)])
def test_a_query_that_is_none_is_refused_by_name(ca, query, field):
    problem = ca.get(f"/v1/certificates?{query}").expect(400).json
    assert problem["type"] in ("urn:cad:problem:query-invalid", "urn:cad:problem:request-malformed")
    assert field is None or problem["field"] == field, problem
    assert problem["detail"]


def test_filters_of_every_pair_agree_with_what_is_there(ca):
    single = [query for query in FILTERS if query and "&" not in query and not query.startswith("name=%")]
    for one, two in itertools.combinations(single, 2):
        if one.split("=")[0] == two.split("=")[0]:
            continue
        wanted = [row["serial"] for row in ca.rows if FILTERS[one](row) and FILTERS[two](row)]
        found = [row["serial"] for row in listed(ca, f"{one}&{two}", 7)]
        assert in_order(one + two, found) == in_order(one + two, wanted), (one, two)
