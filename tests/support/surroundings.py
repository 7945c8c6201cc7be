"""What the tests must not inherit from where they run: a CI service's marks, colours, proxies, settings of the product."""

from __future__ import annotations

from collections.abc import MutableMapping

_COLOURS = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "COLUMNS", "LINES"}
_FOLDERS = {"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"}
_NAMES = {"CI", *_COLOURS, *_FOLDERS}
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_PREFIXES = ("GITHUB_", "GITLAB_", "CI_", "TESTMESH_")
_OURS = "TESTMESH_TEST_"
"""Settings of the tests themselves, like the seed of the chaos lane."""


def forget_surroundings(environ: MutableMapping[str, str]) -> None:
    """Takes out every variable that would change what the program under test does."""
    for name in list(environ):
        of_place = name in _NAMES or name.upper() in _PROXIES or name.startswith(_PREFIXES)
        if of_place and not name.startswith(_OURS):
            del environ[name]
