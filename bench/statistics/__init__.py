"""The verdict and its evidence: pure functions on arrays, of counts of correct answers or of other numbers.

==============================  ===========================================================================
a comparison, in this order
-----------------------------------------------------------------------------------------------------------
``agreement``                   which images two runs both get right: the matrix that all else follows from
``paired``                      the difference between two losses over seeds, on this test set (Student's t)
``crossed``                     the same on new images too (seeds × images, analysis of variance)
``permutation``, ``ranks``      sign flips and sign test; Wilcoxon's signed ranks, failed runs last; P(A > B)
``effects``                     d_z and d_av, Hedges g of both, correlation between the arms
``equivalence``                 is the difference surely smaller than a margin? (two one-sided tests)
``collapse``                    runs that are far worse than the rest of their cell
``rotations``                   one level for all intervals of a family, and the p that agree (K comparisons)
``flips``                       the same by sign flips of whole seeds, at one look or at several planned ones
``multiplicity``                p adjusted under any dependence (Holm)
``verdicts``                    superior, inferior, equivalent or undecided
``planning``                    what this many seeds could have found, and how many would decide it
------------------------------  ---------------------------------------------------------------------------
other questions
-----------------------------------------------------------------------------------------------------------
``unpaired``                    seeds that do not match (Welch, Brunner–Munzel)
``resampled``                   folds of a cross-validation (corrected resampled t, and its Bayesian form)
``proportions``                 two checkpoints (McNemar), proportions (Wilson, Clopper–Pearson, Newcombe)
``claims``                      a published difference, from two accuracies alone
``selection``                   what choosing the best run adds to its accuracy
``ranking``                     several data sets: Friedman, Holm against a control, critical differences
``bayes``                       the same: worse, equivalent or better (the Bayesian signed-rank test)
``improvement``                 the same: how often a run beats one of the baseline
------------------------------  ---------------------------------------------------------------------------
losses that were tuned
-----------------------------------------------------------------------------------------------------------
``searches``                    what tuning with T trials gives, and of whom more; over the budget
``bands``                       the best of n trials, with a band, for the picture
``sensitivity``                 how much each hyperparameter matters
------------------------------  ---------------------------------------------------------------------------
adding seeds until decided
-----------------------------------------------------------------------------------------------------------
``sequential``                  e-values and confidence sequence: look after every seed
``stopping``                    when to stop: the rule at each look
``group_sequential``            a few planned looks (O'Brien–Fleming and Pocock spending)
``futility``                    is it worth going on?
``operating_characteristics``   what such a rule does, simulated: errors, power, seeds taken
==============================  ===========================================================================

``counts`` checks what the others accept, ``units`` makes it of values that count nothing.
``docs/statistics.md`` says which method answers which question, with sources and measured error rates.

A metric is a whole number of 1/total of each run: of accuracy the count of correct answers out of ``total``
images, so that accuracies and differences are fractions of them, never percentages; of other metrics any
whole number, in units that are fine enough (``bounded=False``). What cannot be computed is
None (NaN in arrays), never a made-up number. No files, no pandas, no torch in here.
"""
