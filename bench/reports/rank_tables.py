"""Tables of how losses rank over several data sets, and how each fares against the baseline there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.reports.answer import caution_marks
from bench.reports.blocks import Block, Heading, Paragraph, Table, plain_table
from bench.reports.formats import NOTHING, p_value
from bench.reports.ranking import letters
from bench.reports.schema import Analysed, Compared, RankedLoss, Ranking
from bench.statistics.verdicts import percent


def rank_tables(report: Analysed, short: Mapping[str, str], method: str) -> Iterator[Block]:
    """One table of average ranks for each model (or for all), and one against the baseline.

    Args:
        short: what tables call each loss.
        method: heading of the column of losses.
    """
    for ranking in report.rankings:
        over = f"{len(ranking.datasets)} data sets"
        name = " · ".join(filter(None, (f"Average ranks over {over}", ranking.model)))
        yield Heading(name, 2, marks=caution_marks(report))
        yield Paragraph(ranking.answer)
        alike = letters(ranking)
        rows = [
            (
                short[ranked.loss],
                f"{ranked.average_rank:.2f}",
                "baseline" if ranked.loss == report.baseline else p_value(ranked.p_adjusted),
                alike[ranked.loss],
            )
            for ranked in ranking.losses
        ]
        where = f" with {ranking.model}" * bool(ranking.model)
        caption = f"Average ranks over {over}{where}, 1 is best"
        yield plain_table((method, "rank", "p adj.", "alike"), rows, words=(0, 3), caption=caption)
        against = [ranked for ranked in ranking.losses if ranked.wins is not None]
        if against:
            yield _against_table(
                against, ranking, f"Against {report.baseline} over {over}{where}", short, method
            )
        yield Paragraph(rank_words(ranking, report.alpha))
        if against:
            yield Paragraph(against_words(ranking, report))


def _against_table(
    against: Sequence[RankedLoss], ranking: Ranking, caption: str, short: Mapping[str, str], method: str
) -> Table:
    equivalent, improvement = _optional_headings(ranking)
    headings = (method, "W/D/L", "worse %", *equivalent, "better %", *improvement)
    rows = [
        (
            short[ranked.loss],
            f"{ranked.wins}/{ranked.draws}/{ranked.losses}",
            _percent(ranked.probability_worse),
            *(_percent(ranked.probability_equivalent) for _ in equivalent),
            _percent(ranked.probability_better),
            *(_improvement(ranked) for _ in improvement),
        )
        for ranked in against
    ]
    return plain_table(headings, rows, caption=caption)


def rank_words(ranking: Ranking, alpha: float) -> str:
    """What the table of ranks rests on, and how far it can be trusted."""
    r, tests = ranking, []
    left_out = [*r.left_out, *r.left_out_losses]
    if r.chi2 is not None:
        tests.append(f"Friedman χ²({r.chi2_df}) = {r.chi2:.2f}, p = {p_value(r.chi2_p)}")
    if r.f_df is not None:
        f = "∞" if r.f is None else f"{r.f:.2f}"
        tests.append(f"Iman–Davenport F({r.f_df[0]}, {r.f_df[1]}) = {f}, p = {p_value(r.f_p)}")
    sentences = [
        f"{'; '.join(tests) or 'All losses tie on all data sets'}.".replace("= <", "< "),
        f"p adj. is of z of a rank against the baseline's, by Holm; ranks {r.critical_difference:.2f} apart "
        f"differ (Nemenyi, α = {alpha:g}), and losses with no letter in common (alike) do.",
        *([f"Left out, for lack of results: {', '.join(left_out)}."] if left_out else []),
        *([f"{r.note}."] if r.note else []),
    ]
    return " ".join(sentences)


def against_words(ranking: Ranking, report: Analysed) -> str:
    """What the table against the baseline says."""
    metric, baseline, name = report.metrics[0], report.baseline, report.method_name
    equivalent, improvement = _optional_headings(ranking)
    paired = not isinstance(report, Compared) or report.paired
    over = "the seeds that all of these have" if paired else "all runs"
    region = f"equivalent within ±{metric.within}" if equivalent else "without a margin"
    probabilities = "worse %, equiv. % and better %" if equivalent else "worse % and better %"
    sentences = [
        f"W/D/L: data sets on which the mean of a {name} over {over} is better than, exactly equal to and "
        f"worse than that of {baseline}.",
        f"{probabilities}: probability, over data sets like these, by the Bayesian signed-rank test "
        f"({region}), which weighs differences by their size, whatever the data set.",
    ]
    if improvement:
        interval = any(ranked.improvement_low is not None for ranked in ranking.losses)
        limits = f" (in brackets its {percent(1 - report.alpha)} interval over runs)" if interval else ""
        sentences.append(
            f"P(impr.) %: probability of improvement, that any run of a {name} is better than any of "
            f"{baseline}, ties counting half, mean over these data sets{limits}."
        )
    return " ".join(sentences)


def _optional_headings(ranking: Ranking) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Headings of the two columns that not every ranking has: none without a margin, or with one run each."""
    improvement = any(ranked.improvement is not None for ranked in ranking.losses)
    return ("equiv. %",) * bool(ranking.region), ("P(impr.) %",) * improvement


def _percent(probability: float | None) -> str:
    """Drawn probabilities are never quite 0 or 1."""
    if probability is None:
        return NOTHING
    if not 0.0005 <= probability < 0.9995:
        return "<0.1" if probability < 0.5 else ">99.9"
    return f"{100 * probability:.1f}"


def _improvement(ranked: RankedLoss) -> str:
    if ranked.improvement is None:
        return NOTHING
    low, high = ranked.improvement_low, ranked.improvement_high
    limits = "" if low is None or high is None else f" [{100 * low:.0f},{100 * high:.0f}]"
    return f"{100 * ranked.improvement:.0f}{limits}"
