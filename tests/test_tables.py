from pipeline.common.tables import text_table


def test_names_are_set_left_and_figures_right_as_they_are_written() -> None:
    rows: list[list[object]] = [
        ["a long name", "0.610", 7],
        ["-- a line"],
        ["b", "not defined", 1000000],
    ]
    assert text_table(["name", "AUC", "windows"], rows).split("\n") == [
        "name                 AUC  windows",
        "a long name        0.610        7",
        "-- a line",
        "b            not defined  1000000",
    ]


def test_without_rows_there_are_the_heads() -> None:
    assert text_table(["split", "scans"], []) == "split  scans"
