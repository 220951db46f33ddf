"""The trainings at the authors' settings as Markdown: the answer, the factors, the AUCs by step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean, median

from experiments.paper.author_runs import (
    FACTORS,
    HONEST_LAST,
    LAST,
    MOMENTS,
    PAPER,
    Run,
    by_case,
    case_means,
    finished_cases,
)
from experiments.paper.authors import EARLY, EPOCHS, EVAL, IN_ORDER, SHARES, SHUFFLED
from experiments.paper.paper_tables import CASES
from experiments.paper.result_tables import MIN_CASES, Cells, case_interval, markdown_table
from experiments.paper.sections import counted

FIRST_STEP = f"step {EARLY[0]}"
NONE_FINISHED = "No case is finished.\n"


def answer(runs: Sequence[Run]) -> str:
    """Return the answer: how many cases are run, and the means over them."""
    return "".join(f"- {line}\n" for line in answer_lines(runs))


def answer_lines(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a line about the cases that are run, and four with their means if there is any."""
    cases = finished_cases(runs)
    yield _about_cases(runs)
    if not cases:
        return

    def mean(figure: Callable[[Run], float]) -> float:
        return fmean(case_means(cases, figure))

    over = f"Mean AUC of {counted(len(cases))}"
    yield (
        f"{over} as that code scores (class order, the test batch's own statistics, the best of "
        f"{EPOCHS} epochs picked on the test): **{short(mean(lambda run: run.as_2019))}**; "
        f"the mean of the paper's figures of the same cases is "
        f"{short(mean(lambda run: PAPER[run.case]))}."
    )
    yield (
        f"{over} scored honestly (batch-norm in evaluation mode, epoch {EPOCHS}, nothing "
        f"picked): **{short(mean(lambda run: run.honest))}**."
    )
    drop = mean(lambda run: run.auc(SHUFFLED, run.best) - run.as_2019)
    yield (
        "Shuffling the test set alone, at the weights of the picked epoch, changes the first of "
        f"these by {short(drop, '+.3f')}."
    )
    in_order = mean(lambda run: run.auc(IN_ORDER, FIRST_STEP))
    evaluation = mean(lambda run: run.auc(EVAL, FIRST_STEP))
    yield (
        f"{over} after {EARLY[0]} training steps: {short(in_order)} as that code scores, "
        f"{short(evaluation)} in evaluation mode."
    )


def _about_cases(runs: Sequence[Run]) -> str:
    finished, begun = finished_cases(runs), by_case(runs)
    parts: dict[str, list[str]] = {}
    for case, of_case in finished.items():
        parts.setdefault(_seeds(of_case), []).append(case)
    parts["unfinished"] = [f"{run.case} (seed {run.seed})" for run in runs if not run.finished]
    parts["not run"] = [case for case in CASES if case not in begun]
    said = "; ".join(f"{name}: {', '.join(cases)}" for name, cases in parts.items() if cases)
    return (
        "Cases of the paper's Table I that are run at the settings of the authors' 2019 code: "
        f"{len(finished)} of {len(CASES)} ({said})."
    )


def _seeds(runs: Sequence[Run]) -> str:
    return "seed" + "s" * (len(runs) > 1) + " " + ", ".join(str(run.seed) for run in runs)


def factor_table(runs: Sequence[Run]) -> str:
    """Return the table of the factors between the honest AUC and the paper's, by case.

    A line after it has the gain of the picked epoch in each protocol, as the table has it in class
    order alone.
    """
    cases = finished_cases(runs)
    if not cases:
        return NONE_FINISHED
    shown = " [95%]" if len(cases) >= MIN_CASES else ""
    head = ["", f"mean of {counted(len(cases))}{shown}", *cases]
    rows = []
    for factor in FACTORS:
        values = [fmean(run.factors()[factor] for run in of_case) for of_case in cases.values()]
        rows.append(_factor_row(factor, values, ".3f" if factor == HONEST_LAST else "+.3f"))
    paper = [PAPER[case] for case in cases]
    table = markdown_table(head, [*rows, _factor_row("= the paper's Table I", paper, ".3f")])
    in_order, shuffled, evaluation = (_gain(cases, by) for by in (IN_ORDER, SHUFFLED, EVAL))
    return (
        f"{table}\nThe picked epoch minus the last, mean of {counted(len(cases))}: {in_order} in "
        f"class order (the row above), {shuffled} shuffled, {evaluation} in evaluation mode.\n"
    )


def _gain(cases: Mapping[str, Sequence[Run]], protocol: str) -> str:
    """Return the AUC at the picked epoch minus that after the last, mean of the cases."""
    gains = case_means(cases, lambda run: run.auc(protocol, run.best) - run.auc(protocol, LAST))
    return short(fmean(gains), "+.3f")


def _factor_row(name: str, values: Sequence[float], form: str) -> Cells:
    mean = short(fmean(values), form)
    if len(values) >= MIN_CASES:
        low, high = case_interval(values)
        mean += f" [{short(low, form)} {short(high, form)}]"
    return [name, mean, *(short(value, form) for value in values)]


def step_table(runs: Sequence[Run]) -> str:
    """Return the table of AUCs by training, protocol and moment; the picked epoch is bold."""
    rows = [
        [
            f"{run.case}, seed {run.seed}" if protocol == IN_ORDER else "",
            f"`{protocol}`",
            *(_moment(run, protocol, moment) for moment in MOMENTS),
        ]
        for run in runs
        for protocol in (IN_ORDER, SHUFFLED, EVAL)
    ]
    return markdown_table(["", "scored", *MOMENTS], rows)


def _moment(run: Run, protocol: str, moment: str) -> str:
    if moment not in run.rows:
        return ""
    value = short(run.auc(protocol, moment))
    picked = protocol == IN_ORDER and run.finished and moment == run.best
    return f"**{value}**" if picked else value


def share_table(runs: Sequence[Run]) -> str:
    """Return the table of AUCs after the last epoch, by the share of one class in a batch."""
    rows = [
        [f"{run.case}, seed {run.seed}", *map(short, run.shares.values())]
        for run in runs
        if run.finished
    ]
    head = ["share of one class", *(f"{share:g}" for share in SHARES)]
    return markdown_table(head, rows) if rows else NONE_FINISHED


def time_line(runs: Sequence[Run]) -> str:
    """Return the line that says how long the epochs took."""
    rows = [row for run in runs for row in run.rows.values()]
    seconds = [row["seconds"] for row in rows if "seconds" in row]
    if not seconds:
        return "No epoch is finished.\n"
    return (
        f"{counted(len(seconds), 'epoch')} of {counted(len(runs), 'training')}: "
        f"{median(seconds):,.0f} seconds in the median ({min(seconds):,} to {max(seconds):,}), "
        f"{sum(seconds) / 3600:.1f} hours in sum.\n"
    )


def short(value: float, form: str = ".3f") -> str:
    """Return an AUC or a difference, without the zero before the point."""
    return f"{value:{form}}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")
