"""Files that appear whole, also when the power fails, and foreign files within limits."""

import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pipeline.common.errors import InputError
from pipeline.common.files import (
    SCRATCH,
    code_digest,
    digest,
    read_json,
    read_table,
    read_yaml,
    remove_unfinished,
    scratch_folder,
    write_atomically,
    write_json,
)


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, bytes | None]] = []
    path, sync = tmp_path / "folder" / "file", os.fsync

    def recorded(file: int) -> None:
        synced = Path(f"/proc/self/fd/{file}").resolve()
        done.append((synced.name, path.read_bytes() if path.exists() else None))
        if synced.is_file():
            assert synced.read_bytes() == b"new"
        sync(file)

    write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", recorded)
    write_atomically(path, b"new")
    assert done == [(f".file.{os.getpid()}.tmp", b"old"), ("folder", b"new")]
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_on_a_full_disk_the_file_is_named_and_nothing_of_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / f".file.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as error:
        write_atomically(path, b"new")
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(path))
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def laughs(levels: int) -> str:
    """Each line repeats the line before nine times."""
    lines = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(["l0: &l0 [lol]", *lines])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "[" * 33 + "]" * 33, "nested deeper than 32 levels: flatten it"),
        ("a: " + "[" * 2000, "nested deeper than 32 levels"),
        ("- " * 33 + "a", "nested deeper than 32 levels"),
        (laughs(9), "aliases that repeat too much, or themselves: write it out"),
        ("a: &a [*a]", "aliases that repeat too much, or themselves"),
        ("a: &a {b: &b [*a]}", "aliases that repeat too much, or themselves"),
        ("a: &a 1\nb: &a 2\nc: *a", "two anchors called 'a': rename one"),
        ("a: " + "b" * 2**16, "more than 65,536 bytes, expected a small file of YAML"),
    ],
    ids=lambda value: value[:12],
)
def test_yaml_that_makes_more_of_its_bytes_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    started = time.process_time()
    with pytest.raises(InputError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(error.value)
    assert time.process_time() - started < 1


def test_yaml_within_the_limits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"a: &a [1, 2]\nb: [*a, *a]\nc: {'[' * 31}{']' * 31}\nd: {{<<: {{e: 1}}}}")
    content = read_yaml(path)
    assert (content["b"], content["d"]) == ([[1, 2], [1, 2]], {"e": 1})
    path.write_text(laughs(5))  # 9**4 times
    assert len(read_yaml(path)["l4"]) == 9


@pytest.mark.parametrize("of_dicts", [False, True])
@pytest.mark.parametrize("around", ["[]", "}{", '\\"[', '\\\\\\"{{', "\\\\"])
def test_json_nested_too_deep_is_refused_whatever_its_texts_hold(
    tmp_path: Path, of_dicts: bool, around: str
) -> None:
    start, end = ('{"a": ', "}") if of_dicts else ("[", "]")
    path = tmp_path / "a.json"

    # Brackets in texts would close a level, and open another, if they counted.
    def write(depth: int) -> None:
        path.write_text(f'["{around}", {start * depth}"{around}"{end * depth}, "{around}"]')

    write(31)
    assert read_json(path)[0] == json.loads(f'"{around}"')
    for depth in (32, 900, 100_000):
        write(depth)
        reason = "nested deeper than 32 levels: flatten it|not JSON: maximum recursion depth"
        with pytest.raises(InputError, match=rf"a\.json: ({reason})"):
            read_json(path)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "params.yaml")
    for path, read in ((tmp_path / "params.yaml", read_yaml), (Path("/dev/zero"), read_json)):
        with pytest.raises(InputError, match=r": a (FIFO|device), not a file: remove it"):
            read(path)


def test_what_killed_processes_left_half_written_is_removed(tmp_path: Path) -> None:
    ended = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    dead = (
        f".a.json.{ended.stdout.strip()}.tmp",
        f".{'1' * 32}.tmp",
        "figures/.b.svg.99999999.tmp",
    )
    kept = ("a.json", ".hidden", "b.tmp", f".a.json.{os.getpid()}.tmp", ".a.json.1.tmp")
    for name in (*dead, *kept):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {*kept, "figures"}
    remove_unfinished(tmp_path / "none")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_s_process_is_alive() -> None:
    code = """if True:
        import os
        from pipeline.common.processes import is_alive
        os.setuid(65534)
        print(is_alive(1))
    """
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout == "True\n"


def test_a_scratch_folder_goes_at_the_end_and_those_of_killed_processes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = subprocess.Popen(["true"])
    killed.wait()
    with scratch_folder() as folder:
        own, _, end = folder.name.partition(f"{os.getpid()}-")
        assert own.startswith(SCRATCH)
        assert end
    left = tmp_path / f"{own}{killed.pid}-abc"
    others = tmp_path / f"{own}{os.getppid()}-abc", tmp_path / f"{own}x-abc"
    for folder in (left, *others):
        folder.mkdir()
        (folder / "checkpoint.pt").touch()
    with monkeypatch.context() as on_another_node:
        on_another_node.setattr("socket.gethostname", lambda: "another")
        with scratch_folder():
            assert left.exists()
    with scratch_folder() as folder:
        assert sorted(tmp_path.iterdir()) == sorted([folder, *others])
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_the_digest_of_code_is_of_every_module_named_and_of_those_below_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    files = ["digested/__init__.py", "digested/a.py", "digested/deep/b.py", "digested_too.py"]
    for file in (*files, "undigested.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("VALUE = 1\n")
    names = ["digested", "digested_too"]
    found = [code_digest(names)]
    (tmp_path / "undigested.py").write_text("VALUE = 2\n")
    assert code_digest(names) == found[0]
    for file in files:
        (tmp_path / file).write_text("VALUE = 2\n")
        found.append(code_digest(names))
    assert len(set(found)) == 1 + len(files)


def test_a_digest_is_of_the_content_and_not_of_the_order_of_its_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    others = [{"a": 1, "b": [2, 1]}, {"a": 1}, {"a": "1", "b": [1, 2]}, {"a": 1, "b": 12}, None]
    assert len({digest(other) for other in (*others, {"a": 1, "b": [1, 2]})}) == 6


def test_what_is_no_number_is_not_written_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 0.5})
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(path, {"b": value})
    assert read_json(path) == {"b": 0.5}


def test_a_table_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for mark in ("", "\ufeff"):
        path.write_text(f'{mark}file,bag\n"a\nb",é\n', encoding="utf-8")
        assert read_table(path) == [{"file": "a\nb", "bag": "é"}]
