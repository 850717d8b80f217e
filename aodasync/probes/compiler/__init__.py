# SPDX-License-Identifier: MIT
"""What runs in the short-lived child: BTF, layout, compilation, cache.

The child runs under the distribution's ``python3``, which has bcc, while the
agent may live in any virtual environment. So everything in this package is
written for Python 3.9 with the standard library and bcc alone, and imports
nothing of the package around it: it is started as the top-level package
``compiler``. Neither BTF nor LLVM ever costs the agent memory.
"""
