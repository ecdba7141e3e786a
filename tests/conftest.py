"""A file of tests goes to one process as a whole: the longest ones begin first, so that none is left alone at the end."""

import pathlib

LONGEST = ("test_publish", "test_http_hygiene", "test_truth_table", "test_https", "test_backup", "test_tls_listener", "test_trust",
           "test_wrong_signer", "test_faults", "test_padlock", "test_requests", "test_ca", "test_matrix", "test_crash")


def pytest_collection_modifyitems(items):
    place = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(pathlib.Path(item.fspath).stem, len(LONGEST)))
