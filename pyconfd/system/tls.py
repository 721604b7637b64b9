"""
How certificates of servers are verified. Shell.

What ssl.create_default_context() accepts depends on the version of Python: from 3.13 on it refuses
an authority without the key usage extension (VERIFY_X509_STRICT), such as `openssl req -x509`
makes, and accepts an intermediate authority as an anchor (VERIFY_X509_PARTIAL_CHAIN); before, it
was the other way round. Here every version gives the same answer as grpc and curl.
"""

from __future__ import annotations

import ssl


def verifying(authorities: str = "") -> ssl.SSLContext:
    """
    A client's settings: chain and name are checked, any trusted certificate is an anchor.

    authorities: a PEM file; "" means the system's. Raises OSError when it cannot be read or used.
    """
    context = ssl.create_default_context(cafile=authorities or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
