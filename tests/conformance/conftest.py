"""The suite is shipped with the package; its assertions shall speak as those of a test do."""

import pytest

pytest.register_assert_rewrite("perdure.testing")
