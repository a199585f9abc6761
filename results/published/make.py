"""Works out what each published number is worth: fills the computed columns of published.csv, and README.md.

    python results/published/make.py

The columns up to ``note`` are typed from the sources; all others are computed from them by ``bench``'s own
functions. Nothing here was trained or evaluated.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from bench.statistics.single_runs import counts_behind

from bench.reports.claim import judge_claim
from bench.statistics.proportions import wilson

FOLDER = Path(__file__).parent
IMAGES = 20_800  # of the test set of EMNIST-Letters
BASELINE = "95.86"  # VGG-5 with cross entropy, as the paper and the leaderboard have it
TYPED = ("method", "model", "accuracy", "stated_in", "source", "runs", "epoch_chosen_on_test", "note")
COMPUTED = (
    *("correct_first", "correct_last", "digits", "wilson_low", "wilson_high"),
    *("images_from_baseline", "p_unpaired", "p_mcnemar_least", "p_mcnemar_most", "disagree_for_p05", "seeds"),
)
SEED_SD = 0.001  # of accuracies over seeds, for the seeds that would settle a difference


def computed(row: dict[str, str]) -> dict[str, str]:
    """The computed columns of one published accuracy. Empty: nothing to compute."""
    accuracy = row["accuracy"]
    behind = counts_behind(accuracy, IMAGES)
    counts = behind.rounded or behind.cut
    assert counts is not None, f"{accuracy}: no number of {IMAGES} images gives it"
    first, last = counts
    claim = judge_claim(float(accuracy), float(BASELINE), IMAGES)
    [seeds] = [s.seeds for s in claim.settling if (s.seed_sd, s.correlation) == (SEED_SD, 0.0)]
    most = claim.significant_up_to
    values = [
        *(first, last, "rounded" if behind.rounded else "cut off"),
        *(f"{100 * wilson(first, IMAGES)[0]:.2f}", f"{100 * wilson(last, IMAGES)[1]:.2f}"),
    ]
    if claim.difference:
        values += [
            claim.correct[0] - claim.correct[1],
            *map(_p, (claim.unpaired_p, claim.p_lowest, claim.p_highest)),
        ]
        values += ["" if most is None else most, "" if seeds is None else seeds]
    values += [""] * (len(COMPUTED) - len(values))
    return dict(zip(COMPUTED, map(str, values), strict=True))


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "<.001"


def filled(text: str) -> str:
    """The CSV file, with its computed columns worked out anew."""
    rows = list(csv.DictReader(io.StringIO(text)))
    made = io.StringIO()
    writer = csv.DictWriter(made, [*TYPED, *COMPUTED], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        typed = {name: row[name] for name in TYPED}
        writer.writerow({**typed, **computed(typed)})
    return made.getvalue()


def shown(text: str, readme: str) -> str:
    """README.md, with the table of the CSV file between its two marks."""
    header = ("method", "accuracy %", "right", "interval %", "images", "p", "p same images", "if ≤", "seeds")
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        first, last = int(row["correct_first"]), int(row["correct_last"])
        p = f"{row['p_mcnemar_least']} to {row['p_mcnemar_most']}" if row["p_unpaired"] else ""
        rows.append(
            (
                ", ".join(filter(None, (row["method"], row["model"]))),
                row["accuracy"],
                f"{first:,}" if first == last else f"{first:,} to {last:,}",
                f"{row['wilson_low']} to {row['wilson_high']}",
                f"{int(row['images_from_baseline']):+,}" if row["images_from_baseline"] else "",
                *(row["p_unpaired"], p),
                *(f"{int(row[name]):,}" if row[name] else "" for name in ("disagree_for_p05", "seeds")),
            )
        )
    rule = ("---", *["---:"] * (len(header) - 1))
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
    before, _, rest = readme.partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end -->")
    return f"{before}<!-- table -->\n{lines}\n<!-- end -->{after}"


def main() -> None:
    """Rewrite both files."""
    numbers, readme = FOLDER / "published.csv", FOLDER / "README.md"
    text = filled(numbers.read_text("utf-8"))
    numbers.write_text(text, "utf-8")
    readme.write_text(shown(text, readme.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
