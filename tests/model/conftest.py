"""The model shared by the tests; no test closes or modifies it."""

from __future__ import annotations

import pytest

from tests.support.small import shared_model


@pytest.fixture(scope="module")
def model():
    return shared_model()
