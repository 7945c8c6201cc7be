"""The tests see the same surroundings on a laptop and in a CI service."""

from __future__ import annotations

import os

from tests.support.surroundings import forget_surroundings


def test_marks_of_a_service_colours_proxies_and_settings_go_and_the_rest_stays() -> None:
    stays = {"PATH": "/bin", "HOME": "/root", "TESTMESH_TEST_SEED": "1", "CITY": "x"}
    goes = {"CI": "true", "GITHUB_ACTIONS": "true", "https_proxy": "http://p", "NO_COLOR": "1", "TESTMESH_API_KEY": "k"}
    environ = {**stays, **goes}
    forget_surroundings(environ)
    assert environ == stays


def test_this_run_has_forgotten_its_own() -> None:
    environ = dict(os.environ)
    forget_surroundings(environ)
    assert set(os.environ) - set(environ) <= {"PYTEST_CURRENT_TEST"}
