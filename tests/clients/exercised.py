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


def watch(*owners):
    """Records calls of the public methods that these classes define."""
    for owner in owners:
        for name, raw in list(vars(owner).items()):
            function = getattr(raw, "__func__", raw)
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            if getattr(function, "__isabstractmethod__", False):
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
