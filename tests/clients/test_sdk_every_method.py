"""The judge of this suite: every public method of the SDK's client classes was called by a test.

What is not called stands in the table below, with the reason. An entry that
is called after all, or that the client does not have any more, fails as well.
"""

import exercised
import pytest

#: Class → why no test here calls its methods.
NOT_CALLED = {
    "client.vm_client.VmClient":
        "asks compute nodes, as operators of machines do, never a core node; `aleph instance` calls it in test_cli_instances.py",
    "client.vm_confidential_client.VmConfidentialClient":
        "needs a confidential machine and the program sevctl of a third party",
    "wallets.ledger.ethereum.LedgerETHAccount":
        "needs a device in hand; what it signs is what ETHAccount signs",
}

pytestmark = pytest.mark.judges_the_run


def test_every_method_was_called():
    missing = sorted(name for name in exercised.offered - exercised.called if name.rpartition(".")[0] not in NOT_CALLED)
    assert not missing, f"public methods that no test calls: {missing}"
    needless = sorted(owner for owner in NOT_CALLED if not any(name.startswith(f"{owner}.") for name in exercised.offered))
    assert not needless, f"listed as not called, but not there: {needless}"
    called = sorted(name for name in exercised.called if name.rpartition(".")[0] in NOT_CALLED)
    assert not called, f"listed as not called, but called: {called}"
