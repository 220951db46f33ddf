"""Counts the criteria that the page has written down before the first training."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from experiments.paper.author_runs import PAPER, Run, by_case, case_means, finished_cases
from experiments.paper.author_tables import FIRST_STEP, NONE_FINISHED, short
from experiments.paper.authors import EVAL, IN_ORDER, SHARES, SHUFFLED
from experiments.paper.cell_results import Result
from experiments.paper.cells import CIFAR, NO_METHOD
from experiments.paper.protocols import HONEST
from experiments.paper.result_tables import Cells, markdown_table
from experiments.paper.sections import counted
from pipeline.evaluation.scores import OVERALL

NEAR = 0.05  # the most that a reproduced AUC is from the paper's
LEAK = 0.10  # the least that shuffling takes from the AUC
ABOVE, BELOW = 0.8, 0.6  # of `in_order` and `eval` after the first steps

Cases = Mapping[str, Sequence[Run]]
Verdicts = dict[str, tuple[bool, str]]  # by case: whether the criterion holds, and its figures


class Best(NamedTuple):
    """A score without a model, on how many test images, its AUC and the 95% interval."""

    score: str
    images: int
    auc: float
    low: float
    high: float


def criteria_table(runs: Sequence[Run], results: Sequence[Result]) -> str:
    """Return the table of the criteria: in how many cases each holds, and the cases' figures."""
    cases = finished_cases(runs)
    if not cases:
        return NONE_FINISHED
    begun = by_case(run for run in runs if FIRST_STEP in run.rows)
    rows = {
        "reproduced: within .05 of the paper": reproduced(cases),
        "leak: lower by .10 or more when shuffled": shuffled_lower(cases),
        "leak: the AUC falls with the share of one class (1, .95, .9, .75, .5)": falls_with_share(
            cases
        ),
        "after 60 steps `in_order` above .8, `eval` below .6": says_nothing_of_training(begun),
        "detection that is left: above the best score without a model": detection_left(
            cases, results
        ),
    }
    table = markdown_table(
        ["criterion", "holds in", "by case"], [_row(name, found) for name, found in rows.items()]
    )
    ours = fmean(case_means(cases, lambda run: run.as_2019))
    paper = fmean(PAPER[case] for case in cases)
    means = (
        f"Mean of {counted(len(cases))} as the 2019 code scores: {short(ours)}; the paper's: "
        f"{short(paper)}."
    )
    return f"{table}\n{means}\n"


def reproduced(cases: Cases) -> Verdicts:
    """Return in which cases the AUC as the 2019 code scores is near the paper's."""
    found = {}
    for case, runs in cases.items():
        ours = fmean(run.as_2019 for run in runs)
        near = abs(ours - PAPER[case]) <= NEAR
        found[case] = (near, f"{short(ours)}, the paper {short(PAPER[case])}")
    return found


def shuffled_lower(cases: Cases) -> Verdicts:
    """Return in which cases shuffling lowers the AUC at the weights of the picked epoch."""
    found = {}
    for case, runs in cases.items():
        change = fmean(run.auc(SHUFFLED, run.best) - run.as_2019 for run in runs)
        found[case] = (change <= -LEAK, short(change, "+.3f"))
    return found


def falls_with_share(cases: Cases) -> Verdicts:
    """Return in which cases the AUC falls at each step to a smaller share of one class."""
    found = {}
    for case, runs in cases.items():
        values = [fmean(run.shares[share] for run in runs) for share in SHARES]
        falls = all(more > less for more, less in pairwise(values))
        found[case] = (falls, " ".join(map(short, values)))
    return found


def says_nothing_of_training(cases: Cases) -> Verdicts:
    """Return in which cases `in_order` is high after the first steps and `eval` is not."""
    found = {}
    for case, runs in cases.items():
        in_order = fmean(run.auc(IN_ORDER, FIRST_STEP) for run in runs)
        evaluation = fmean(run.auc(EVAL, FIRST_STEP) for run in runs)
        holds = in_order > ABOVE and evaluation < BELOW
        found[case] = (holds, f"{short(in_order)}, {short(evaluation)}")
    return found


def detection_left(cases: Cases, results: Sequence[Result]) -> Verdicts:
    """Return in which cases the honest AUC is above that of the best score without a model."""
    found = {}
    for case, runs in cases.items():
        best = best_without_model(case, results)
        if best is not None:
            honest = fmean(run.honest for run in runs)
            interval = f"{short(best.auc)} [{short(best.low)} {short(best.high)}]"
            images = f"of {best.images:,} images"
            shown = f"{short(honest)}, `{best.score}` {interval} {images}"
            found[case] = (honest > best.high, shown)
    return found


def best_without_model(case: str, results: Sequence[Result]) -> Best | None:
    """Return the score without a model with the highest AUC; None without a cell of the case.

    Of several cells, the one with the most test images counts.
    """
    wanted = (CIFAR, case, NO_METHOD)
    cells = [r for r in results if (r.cell.data, r.cell.case, r.cell.method) == wanted]
    if not cells:
        return None
    cell = max(cells, key=lambda result: result.counts[-1])
    scores = [  # an AUC of CIFAR-10 is always defined, and so is its interval
        Best(score, cell.counts[-1], *(float(figures[end] or 0) for end in ("auc", "low", "high")))
        for score, figures in cell.estimates[HONEST][OVERALL].items()
    ]
    return max(scores, key=lambda best: best.auc)


def _row(name: str, verdicts: Verdicts) -> Cells:
    count = sum(holds for holds, _ in verdicts.values())
    shown = "; ".join(f"{case} {figures}" for case, (_, figures) in verdicts.items())
    return [name, f"{count} of {counted(len(verdicts))}", shown]
