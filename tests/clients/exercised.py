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
#: Whether all tests of this run's files were asked for.
run_is_whole = True


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
            label = f"{owner.__name__}.{name}"
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
