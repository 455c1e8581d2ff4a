"""The judge of this suite: every public method of the SDK's client classes was called by a test.

What is not called stands in the table below, with the reason. An entry that
is called after all, or that the client does not have any more, fails as well.
"""

import exercised
import pytest

COMPUTE = "speaks to the operator's API of a compute node, never to a core node"

#: `Class.method` → why no test here calls it.
NOT_CALLED = {}

pytestmark = pytest.mark.judges_the_run


def test_every_method_was_called():
    if not exercised.run_is_whole:
        pytest.skip("only a part of the tests was asked for")
    missing = sorted(exercised.offered - exercised.called - set(NOT_CALLED))
    assert not missing, f"public methods that no test calls: {missing}"
    needless = sorted(name for name in NOT_CALLED if name in exercised.called or name not in exercised.offered)
    assert not needless, f"listed as not called, but called or not there: {needless}"
