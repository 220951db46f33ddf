"""The page of a screening, in a real browser without network."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.pages.pictures import encode_image
from pipeline.pages.writer import file_data_url, write_page
from pipeline.screening.image_screener import Look
from pipeline.screening.records import ScreenedFile

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
NAMES = ("a.png", "<script>alert(1)</script>.png", 'c"onload="x.png')
FILES = [
    ScreenedFile(name, "0", 160, 90, p_value, 9, (Look(16, 8, 16, 16, 0.002),))
    for name, p_value in zip(NAMES, (0.1, 0.2012, 0.9), strict=True)
]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    red, none = np.full((90, 160, 3), (200, 0, 0), np.uint8), np.zeros((9, 16, 4), np.uint8)
    for name in NAMES:
        folder = (tmp_path / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.jpg").write_bytes(encode_image(red, ".jpg"))
        (tmp_path / f"{name}.png").write_bytes(encode_image(none, ".png"))
    skipped = [ScreenedFile("bad.png", "", reason="cannot be read: <b>cut</b>")]
    write_page(
        tmp_path / "page.html", "screening.html", files=FILES, skipped=skipped, skipped_files=37,
        rate=0.2013, lines=["<i>2</i> hits"],
        data_url=lambda name: file_data_url(tmp_path / name),
    )  # fmt: skip
    return tmp_path / "page.html"


def test_names_from_outside_are_no_markup(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert 'data-name="c&#34;onload=&#34;x.png"' in text
    assert "cannot be read: &lt;b&gt;cut&lt;/b&gt;" in text
    assert "<div>&lt;i&gt;2&lt;/i&gt; hits</div>" in text


def test_one_bag_and_one_file_are_counted_in_the_singular(tmp_path: Path) -> None:
    skipped = [ScreenedFile("bad.png", "", reason="cut")]
    write_page(
        tmp_path / "page.html", "screening.html", files=FILES[:1], skipped=skipped,
        skipped_files=1, rate=0.2, lines=[], data_url=lambda _: "data:,",
    )  # fmt: skip
    text = " ".join((tmp_path / "page.html").read_text(encoding="utf-8").split())
    assert "<title>SkipScan: 1 bag screened</title>" in text
    assert "<h1>1 bag screened, 1 file skipped" in text


def test_each_bag_has_its_own_pictures_p_value_and_windows(tmp_path: Path) -> None:
    files = [
        ScreenedFile(name, "0", width, 90, p_value, 9, (Look(left, 8, 16, 16, 0.002),))
        for name, width, p_value, left in (("a", 160, 0.1, 16), ("b", 170, 0.2, 24))
    ]
    write_page(
        tmp_path / "page.html", "screening.html", files=files, skipped=[], rate=0.15, lines=[],
        data_url=lambda name: f"picture of {name}",
    )  # fmt: skip
    head, *bags = (tmp_path / "page.html").read_text().split('<section class="bag"')
    assert 'step="any" value="0.15"' in head
    for bag, file in zip(bags, files, strict=True):
        assert f'data-p="{file.p_value}" data-name="{file.file}"' in bag
        pictures = [f"picture of {file.file}.{kind}" for kind in ("jpg", "png")]
        assert re.findall(r'src="(.*?)"', bag) == pictures
        assert f'viewBox="0 0 {file.width} 90"' in bag
        assert f'<rect x="{file.looks[0].left}" y="8" width="16"' in bag


def test_the_page_needs_no_network(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r'(?:src|href)="(.{5})', text)) == {"data:", "#skip"}
    assert not re.search(r"https?://", text)


def with_script(page: Path, script: str) -> str:
    """Return the text that a script leaves in the page's title, after the page's own script."""
    text = page.read_text(encoding="utf-8")
    probe = f"<script>document.title = JSON.stringify((() => {{{script}}})());</script></body>"
    changed = page.with_name("probe.html")
    changed.write_text(text.replace("</body>", probe), encoding="utf-8")
    assert BROWSER
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    done = subprocess.run(
        [*command, changed.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found
    return found[1]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("return element('alarms').textContent;", '"2 of 3 bags raise an alarm"'),
        (
            "element('rate').value = 0.1; show(); return element('alarms').textContent;",
            '"1 of 3 bags raise an alarm"',
        ),
        (
            "element('rate').value = 0.1; element('only').checked = true; show();"
            "return bags.map((bag) => bag.hidden);",
            "[false,true,true]",
        ),
        ("element('filter').value = 'ONLOAD'; show(); return bags.map((bag) => bag.hidden);",
         "[true,true,false]"),
        (
            "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'h'}));"
            "return getComputedStyle(document.querySelector('.heat')).display;",
            '"none"',
        ),
        (
            "for (const key of ['j', 'j', 'j', 'j', 'k'])"
            " document.dispatchEvent(new KeyboardEvent('keydown', {key}));"
            "return bags.map((bag) => bag.classList.contains('current'));",
            "[false,true,false]",
        ),
        (
            "const box = document.querySelector('rect').getBoundingClientRect();"
            "const scan = document.querySelector('.scan').getBoundingClientRect();"
            "return [box.left - scan.left, box.top - scan.top].map(Math.round);",
            "[16,8]",
        ),
    ],
)  # fmt: skip
def test_in_a_browser(page: Path, script: str, expected: str) -> None:
    assert with_script(page, script) == expected


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_on_a_wide_scan_the_numbers_of_windows_are_as_large_as_on_a_small_one(
    tmp_path: Path,
) -> None:
    heights = []
    for width in (400, 4000):
        file = ScreenedFile("a.png", "0", width, width // 2, 0.1, 9, (Look(0, 0, 64, 64, 0.1),))
        scan = encode_image(np.zeros((width // 2, width, 3), np.uint8), ".png")
        (tmp_path / "scan.png").write_bytes(scan)
        write_page(
            tmp_path / "page.html", "screening.html", files=[file], skipped=[], skipped_files=0,
            rate=0.2, lines=[], data_url=lambda _: file_data_url(tmp_path / "scan.png"),
        )  # fmt: skip
        script = "return document.querySelector('svg text').getBoundingClientRect().height;"
        heights.append(float(with_script(tmp_path / "page.html", script)))
    assert heights[1] == pytest.approx(heights[0], rel=0.25)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_the_header_does_not_hide_what_a_link_leads_to(page: Path) -> None:
    script = (
        "document.body.style.paddingBottom = '2000px'; element('skipped').scrollIntoView();"
        "const top = (selector) => document.querySelector(selector).getBoundingClientRect();"
        "return top('#skipped').top >= top('header').bottom - 1;"
    )
    assert with_script(page, script) == "true"


def test_the_page_names_the_windows_that_are_on_a_threat(tmp_path: Path) -> None:
    looks = (Look(0, 0, 8, 8, 0.1),) * 3
    files = [
        ScreenedFile(name, "0", 16, 16, 0.1, 9, looks, classes=classes, on_threat=on_threat)
        for name, classes, on_threat in (
            ("hit", ("gun",), (False, True, False)),
            ("miss", ("gun",), (False, False, False)),
            ("normal", (), (False, False, False)),
        )
    ]
    write_page(
        tmp_path / "page.html", "screening.html", files=files, skipped=[], rate=0.2, lines=[],
        data_url=lambda _: "data:,",
    )  # fmt: skip
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    hit, miss, normal = text.split('<section class="bag"')[1:]
    assert re.search(r"on a threat:\s*2\s*;", hit)
    assert re.search(r"on a threat:\s*none\s*;", miss)
    assert "on a threat" not in normal
