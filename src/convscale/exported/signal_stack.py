"""The stack that this thread's signal handlers run on, kept from a library that leaves a freed one behind."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class SignalStack(ctypes.Structure):
    """`stack_t` of sigaltstack(2), as Linux lays it out; without one, its flags say so."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def registered() -> SignalStack:
    """The alternate signal stack of this thread."""
    found = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Afterwards this thread has the alternate signal stack that it had before.

    OpenVINO's CPU plugin registers one of its own for the thread that loads it, and frees it with the plugin. Plugins
    that are freed in another order than loaded, or by another thread, leave a freed stack registered, and the next
    signal, such as that of a process that ended, ends this one: Python's handlers run on such a stack.
    """
    if sys.platform != "linux":  # nor does the plugin register any
        yield
        return
    before = registered()
    try:
        yield
    finally:
        if registered().address != before.address:
            ctypes.CDLL(None).sigaltstack(ctypes.byref(before), None)
