"""What holds for all tests."""

import os

import pytest
from hypothesis import settings


def pytest_configure(config: pytest.Config) -> None:
    """Keep tests away from the caller's engine, and give properties all the time they need."""
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        os.environ.pop(name, None)
    # Machines that test are shared; a deadline would only measure the neighbours.
    settings.register_profile("plancton", deadline=None, print_blob=True)
    settings.load_profile("plancton")
