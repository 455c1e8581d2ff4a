"""Which public methods of the released clients the tests called themselves.

A method counts when a file of this folder calls it; calls between the
client's own methods do not. The recorder passes every call on unchanged.

    classes ──watch──▶ recorder ──▶ called ──▶ test_sdk_every_method.py
"""

import functools
import inspect
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent

#: `Class.method` of every watched class.
offered = set()
#: `Class.method` that a test called.
called = set()


def watch_the_sdk():
    """Watches the classes by which a developer speaks to the network."""
    from aleph.sdk.client import AlephHttpClient, AuthenticatedAlephHttpClient
    from aleph.sdk.client.abstract import AlephClient, AuthenticatedAlephClient
    from aleph.sdk.client.services import (
        authenticated_port_forwarder,
        authenticated_voucher,
        base,
        crn,
        dns,
        instance,
        port_forwarder,
        pricing,
        runtimes,
        scheduler,
        settings,
        voucher,
    )
    from aleph.sdk.types import AuthorizationBuilder

    # What the clients inherit of these two and do not define anew.
    watch(AlephClient, AuthenticatedAlephClient, used_by=AuthenticatedAlephHttpClient)
    watch(AlephHttpClient, AuthenticatedAlephHttpClient, AuthorizationBuilder)
    watch(crn.Crn, crn.CrnList, dns.DNS, instance.Instance, pricing.Pricing, pricing.PricingPerEntity, pricing.Tier)
    watch(runtimes.Runtimes, scheduler.Scheduler, settings.Settings, base.BaseService, voucher.Vouchers)
    watch(port_forwarder.PortForwarder, authenticated_port_forwarder.AuthenticatedPortForwarder)
    watch(authenticated_voucher.AuthenticatedVoucher)
    watch_accounts()


def watch_accounts():
    """Watches every account, and the clients of compute nodes."""
    from aleph.sdk.chains import common, cosmos, ethereum, evm, nuls1, nuls2, remote, solana, substrate, svm, tezos
    from aleph.sdk.client.vm_client import VmClient
    from aleph.sdk.client.vm_confidential_client import VmConfidentialClient
    from aleph.sdk.wallets.ledger import LedgerETHAccount

    watch(common.BaseAccount, used_by=ethereum.ETHAccount)
    watch(ethereum.BaseEthAccount, ethereum.ETHAccount, evm.EVMAccount, remote.RemoteAccount)
    watch(solana.SOLAccount, svm.SVMAccount, substrate.DOTAccount, tezos.TezosAccount, cosmos.CSDKAccount)
    watch(nuls1.NULSAccount, nuls2.NULSAccount, VmClient, VmConfidentialClient, LedgerETHAccount)


def watch(*owners, used_by=None):
    """Records calls of the public methods that these classes define (and that reach `used_by`, if given)."""
    for owner in owners:
        for name, raw in list(vars(owner).items()):
            function = getattr(raw, "__func__", raw)
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            if getattr(function, "__isabstractmethod__", False):
                continue
            if used_by is not None and inspect.getattr_static(used_by, name) is not raw:
                continue
            label = f"{owner.__module__.removeprefix('aleph.sdk.')}.{owner.__qualname__}.{name}"
            offered.add(label)
            recorder = _recorder(function, label)
            setattr(owner, name, type(raw)(recorder) if isinstance(raw, (staticmethod, classmethod)) else recorder)


def _recorder(function, label):
    @functools.wraps(function)
    def record(*arguments, **options):
        if pathlib.Path(sys._getframe(1).f_code.co_filename).parent == FOLDER:
            called.add(label)
        return function(*arguments, **options)

    return record
