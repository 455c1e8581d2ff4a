"""The judge of this suite: every command of the released command line was called by a test.

What is not called stands in the table below, with the reason. An entry that
is called after all, or that the program does not have any more, fails as well.
"""

import pytest
from cli import Cli

#: Command → why no test here calls it.
NOT_CALLED = {}

pytestmark = pytest.mark.judges_the_run


def test_every_command_was_called(aleph):
    missing = sorted(aleph.commands() - Cli.called - set(NOT_CALLED))
    assert not missing, f"commands that no test calls: {missing}"
    needless = sorted(name for name in NOT_CALLED if name in Cli.called or name not in aleph.commands())
    assert not needless, f"listed as not called, but called or not there: {needless}"
