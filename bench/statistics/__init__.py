"""The verdict and its evidence: pure functions on arrays, from integer counts of correct answers.

A comparison runs through these rooms in this order:

====================  =====================================================================================
``paired``            the difference between two losses over seeds, its interval and its p (Student's t)
``equivalence``       is the difference surely smaller than a margin that matters? (two one-sided tests)
``multiplicity``      p adjusted for having made many comparisons (Holm)
``verdicts``          superior, inferior, equivalent or undecided
``planning``          what this many seeds could have found, and how many would decide it
====================  =====================================================================================

Accuracies and differences are fractions of the test images, never percentages. What cannot be computed is
None (NaN in arrays), never a made-up number. No files, no pandas, no torch in here.
"""
