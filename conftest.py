"""For every test and doctest, those of `src` too: see `seriatim.core.platform`."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Set the environment before anything is computed."""
    # Not imported at the top: jaxtyping's plugin must be set up before the package is imported.
    from seriatim.core.platform import avoid_matrix_tiles

    avoid_matrix_tiles()
