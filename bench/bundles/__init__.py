"""A study as one file: a suite, its plan, code, run folders and report, in a zip that verifies itself.

:mod:`~bench.bundles.making` writes one, :mod:`~bench.bundles.reading` reads it without the data or the code,
:mod:`~bench.bundles.verifying` computes every number again. What lies in the file:

``bundle.json``
    what it is, and the size and SHA-256 of every other file: :mod:`~bench.bundles.archive`.
``ro-crate-metadata.json``
    the same for other people's software: :mod:`~bench.bundles.crate`.
``suite/<suite>.yaml``, ``suite/resolved.json``
    what was asked, as its file has it; and with everything filled in: :mod:`~bench.bundles.resolved`.
``results/``
    a results folder: ``runs/``, ``code/`` and the suite's own, with its plan and its report.
``code/``
    the user's own code as text, to be read: :mod:`~bench.bundles.own_code`. Nothing runs it.
``measured/``
    what metrics of the user's own gave: :mod:`~bench.bundles.measured`.
``environment.json``
    versions and devices of the runs, and of whoever made the report.
"""
