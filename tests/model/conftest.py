"""The model that tests of the model share: no test closes or changes it."""

from __future__ import annotations

import pytest

from tests.support.small import shared_model


@pytest.fixture(scope="module")
def model():
    return shared_model()
