"""The HTML report in a real browser: sorted, filtered, compared, by keyboard, in the dark, on paper, offline."""

import hashlib
import json
import os
import re
import shutil
from functools import reduce
from pathlib import Path

import axe_core_python
import numpy as np
import pytest

from robench.cli import run
from robench.numerics.stats import mcnemar
from robench.paths import data_root
from robench.report import load, select, worst_case
from robench.report.page.render import asset
from robench.store.corrupted import read_lines, write_lines
from tests.support.chromium import MEND, chromium, missing
from tests.support.marks import slow

pytestmark = pytest.mark.browser

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
ATTACKED = ("eval", "--model", "pgdat", "--attack", "fgsm")
SHOWN = ("pgd-20", "pgd-500", "autoattack", "cascade", "square")
"""The attacks that the leaderboard begins with."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The committed records; of one defense also points, and another eps; of another not all corruptions."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(data_root() / "results" / "digits", folder / "digits")
    sweep = folder / "digits" / "corruptions" / "freeat.jsonl"
    write_lines(sweep, list(read_lines(sweep))[:20])
    for options in (["--save-adversarial"], ["--eps", "0.1"]):
        assert run([*ATTACKED, *options, "--results", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def page(folder):
    path = folder / "report.html"
    assert run(["report", "--format", "html", "--results", str(folder), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def defenses(folder):
    return select(load(folder)).defenses


@pytest.fixture(scope="module")
def _browser():
    if missing():
        lack = f"{' and '.join(missing())} not found: {MEND}"
        if os.environ.get("CI"):
            pytest.fail(lack)
        pytest.skip(lack)
    with chromium() as browser:
        yield browser


@pytest.fixture
def window(_browser, page):
    """A wide bright screen, on which the test opens the page; afterwards nothing was logged and nothing asked for."""
    _browser.size(1280)
    _browser.media()
    yield _browser
    assert _browser.console() == []
    assert {address for address in _browser.requests() if not address.startswith(("data:", page.as_uri()))} == set()


@pytest.fixture
def browser(window, page):
    """The page, freshly opened."""
    window.open(page)
    return window


@pytest.fixture
def pgdat(window, page):
    """The page, freshly opened at one defense."""
    window.open(page, "#defense=digits%2Fpgdat")
    return window


DASH = "\u2013"
ROWS = """
const rows = [...document.querySelectorAll(arguments[0] + ' tbody tr')];
return rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()));
"""
HEADS = """
return [...document.querySelectorAll(arguments[0] + ' thead th')].map((cell) => [
  cell.innerText.replace(/[▲▼]/, '').trim(), cell.getAttribute('aria-sort')]);
"""
PRESS = """
const heads = [...document.querySelectorAll(arguments[0] + ' thead button')];
heads.find((button) => button.innerText.includes(arguments[1])).focus();
"""
CHOOSE = """
const field = document.getElementById(arguments[0]);
field.value = arguments[1];
field.dispatchEvent(new Event('input', { bubbles: true }));
"""
TEXT = "return document.querySelector(arguments[0]).innerText;"


def press(browser, *keys):
    """On the keyboard, wherever the focus is."""
    from selenium.webdriver import ActionChains

    ActionChains(browser.driver).send_keys(*keys).perform()


def short(name):
    return name.rpartition("/")[2]


BOX = "[...document.querySelectorAll('#column-choices label')].find((l) => l.innerText.trim() === arguments[0])"
"""The label that shows or hides an attack's column."""


def accuracy(records, attack):
    return next((r.robust_accuracy for r in records if r.header.attack.name == attack), None)


def written(value):
    return DASH if value is None else f"{value:.2f}"


# ---- Tables ----


def test_the_overview_has_worst_case_interval_and_trust_of_each_defense(browser, defenses):
    rows = {row[0]: row[1:] for row in browser.run(ROWS, "#overview-tables > :first-child")}
    assert set(rows) == {short(name) for name in defenses}
    for name, records in defenses.items():
        worst = worst_case(records)
        low, high = worst.interval
        found, interval, _, trust = rows[short(name)]
        assert (found, interval) == (f"{worst.robust_accuracy:.2f}", f"{low:.1f}{DASH}{high:.1f}")
        assert trust.split()[1] == worst.trust.level


def test_the_leaderboard_ranks_one_setting_at_a_time(browser):
    assert len(browser.run(ROWS, "#leaderboard")) == 19
    browser.run(CHOOSE, "filter-setting", "digits, linf 0.1, 540 examples, seed 0")
    assert [row[0] for row in browser.run(ROWS, "#leaderboard")] == ["digits/pgdat"]
    assert browser.run(TEXT, "#leaderboard-status").startswith("1 of 1 defense, ")


def test_the_leaderboard_is_sorted_by_the_keyboard(browser, defenses):
    values = {name: accuracy(records, "cascade") for name, records in defenses.items()}
    for direction in ("descending", "ascending"):
        browser.run(PRESS, "#leaderboard", "cascade")
        press(browser, "\ue007")
        heads, rows = browser.run(HEADS, "#leaderboard"), browser.run(ROWS, "#leaderboard")
        assert [head for head in heads if head[1]] == [["cascade", direction]]
        found = [values[row[0]] for row in rows]
        assert found == sorted(values.values(), reverse=direction == "descending")
        assert browser.run(TEXT, "#leaderboard-status") == f"19 of 19 defenses, sorted by cascade, {direction}."


def test_missing_values_come_last_either_way(browser, defenses):
    lacking = sum(accuracy(records, "rays") is None for records in defenses.values())
    assert 0 < lacking < len(defenses)
    browser.run("document.getElementById('columns').open = true")
    browser.run(f"{BOX}.click()", "rays")
    for _ in range(2):
        browser.run(PRESS, "#leaderboard", "rays")
        press(browser, " ")
        column = [row[-1] for row in browser.run(ROWS, "#leaderboard")]
        assert column[-lacking:] == [DASH] * lacking
        assert DASH not in column[:-lacking]


def test_the_leaderboard_is_filtered_by_name_and_trust(browser, defenses):
    browser.run("document.getElementById('filter-name').focus()")
    press(browser, "PGDAT")
    assert {row[0] for row in browser.run(ROWS, "#leaderboard")} == {name for name in defenses if "pgdat" in name}
    assert browser.run(TEXT, "#leaderboard-status").startswith("6 of 19 defenses")
    levels = [worst_case(records).trust.level for records in defenses.values()]
    browser.run(CHOOSE, "filter-name", "")
    for level in set(levels):
        browser.run(CHOOSE, "filter-trust", level)
        assert len(browser.run(ROWS, "#leaderboard")) == levels.count(level)
    browser.run(CHOOSE, "filter-name", "no such defense")
    assert browser.run(ROWS, "#leaderboard") == []


def test_any_attack_can_be_a_column(browser, defenses):
    assert [head[0] for head in browser.run(HEADS, "#leaderboard")][-5:] == [
        name for name in attack_order(defenses) if name in SHOWN
    ]
    browser.run("document.getElementById('columns').open = true")
    browser.run(f"{BOX}.click()", "apgd-ce")
    heads = [head[0] for head in browser.run(HEADS, "#leaderboard")]
    for row in browser.run(ROWS, "#leaderboard"):
        cells = dict(zip(heads, row, strict=True))
        for attack in (*SHOWN, "apgd-ce"):
            assert cells[attack] == written(accuracy(defenses[row[0]], attack)), (row[0], attack)
    browser.run(f"{BOX}.click()", "apgd-ce")
    assert len(browser.run(HEADS, "#leaderboard")) == len(heads) - 1


def attack_order(defenses):
    return list(dict.fromkeys(r.header.attack.name for records in defenses.values() for r in records))


# ---- One defense ----


def test_a_defense_is_chosen_in_the_list_by_a_link_and_in_the_address(browser, page, defenses):
    browser.run(CHOOSE, "defense-choice", "digits/alp_he")
    assert len(browser.run(ROWS, "#attacks")) == len(defenses["digits/alp_he"])
    assert browser.run("return location.hash") == "#defense=digits%2Falp_he"
    browser.run("[...document.querySelectorAll('#overview a')].find((a) => a.innerText === 'fastat').focus()")
    press(browser, "\ue007")
    browser.wait("return document.getElementById('defense-choice').value === 'digits/fastat'")
    browser.open(page, "#defense=digits%2Fpgdat_he")
    assert browser.run("return document.activeElement.id") == "defense-title"
    found = {row[0]: row[1] for row in browser.run(ROWS, "#attacks")}
    assert found == {r.header.attack.name: f"{r.robust_accuracy:.2f}" for r in defenses["digits/pgdat_he"]}


FOLLOW = """
const [anchor, done] = arguments;
addEventListener('hashchange', () => setTimeout(done), { once: true });
location.hash = anchor;
"""


def test_addresses_that_lead_nowhere_do_no_harm(window, page):
    """The page follows an address alike when it is opened and afterwards; its errors are on the console."""
    window.open(page, "#%E0%A4%A=1")
    assert window.run("return document.documentElement.dataset.ready") == "true"
    for anchor in ("#defense=digits%2Fnobody", "#compare=a,b", "#=", "#nowhere"):
        window.driver.execute_async_script(FOLLOW, anchor)
        assert window.run("return location.hash") == anchor
        assert window.console() == []


def test_curves_can_be_switched_and_read_as_numbers(pgdat, page, defenses):
    steps, queries, eps = pgdat.run(
        "return [...document.querySelectorAll('#curves figcaption')].map((e) => e.innerText)"
    )
    assert (steps[-5:], queries[-7:], eps[-3:]) == ("steps", "queries", "eps")
    drawn = "return document.querySelectorAll('#curves figure:first-of-type path.series:not(.sample *)').length"
    assert pgdat.run(drawn) == 5
    pgdat.run("document.querySelector('#curves figure:first-of-type input').click()")
    assert pgdat.run(drawn) == 4
    label = pgdat.run("return document.querySelector('#curves svg[role=img]').getAttribute('aria-label')")
    assert "fab ends at" in label
    assert "cascade-1" not in label  # the one that was switched off
    pgdat.run("for (const each of document.querySelectorAll('#curves details')) each.open = true")
    (row,) = pgdat.run(ROWS, "#curves figure:last-of-type")
    found = {r.header.threat.text: r.robust_accuracy for r in load(page.parent) if is_fgsm(r)}
    assert row == [
        "fgsm",
        written(defenses["digits/pgdat"][0].clean_accuracy),
        *map(written, map(found.get, ("0.1", "0.2"))),
    ]


def is_fgsm(record):
    return (record.header.model, record.header.attack.name) == ("digits/pgdat", "fgsm")


def test_the_gallery_shows_pictures_with_predictions(pgdat):
    pictures = pgdat.run("return [...document.querySelectorAll('#gallery img')].map((i) => [i.naturalWidth, i.alt])")
    assert len(pictures) == 18
    assert all(width == 8 and alt.startswith("example ") for width, alt in pictures)
    for item in pgdat.run("return [...document.querySelectorAll('#gallery li')].map((li) => li.innerText)"):
        label, clean, adversarial = map(
            int, re.search(r"class (\d).*clean: (\d).*adversarial: (\d)", item, re.S).groups()
        )
        assert label == clean != adversarial


def test_the_specs_hash_to_what_they_say_and_can_be_copied(pgdat, defenses):
    for place, record in [*enumerate(defenses["digits/pgdat"])][::6]:
        pgdat.run(CHOOSE, "spec-choice", str(place))
        text, hash_ = (
            pgdat.run("return document.getElementById(arguments[0]).value", f"spec-{e}") for e in ("text", "hash")
        )
        assert hashlib.sha256(text.encode()).hexdigest() == hash_ == record.header.hash
        assert json.loads(text) == record.header.identity
    pgdat.run("[...document.querySelectorAll('#specs button')].at(-1).click()")
    said = "return document.querySelector('#specs [role=status]').innerText"
    assert pgdat.wait(said) in ("Copied.", "Selected: press Ctrl+C to copy.")


def test_heat_maps_say_who_corrupted_and_mark_the_white_box(pgdat):
    assert "generated images" in pgdat.run(TEXT, "#corruptions caption")
    assert len(pgdat.run(ROWS, "#corruptions")) == 15
    rows = {row[0]: row[1:] for row in pgdat.run(ROWS, "#transfer")}
    heads = [head[0] for head in pgdat.run(HEADS, "#transfer")][1:]
    assert "pgdat (this)" in heads
    assert [cell.endswith("*") for cell in rows["pgdat, pgd-20"]] == [head == "pgdat (this)" for head in heads]


def test_corruptions_that_are_not_all_there_have_no_mean(window, page):
    window.open(page, "#defense=digits%2Ffreeat")
    assert "there is no mean" in window.run(TEXT, "#corruptions")
    assert len(window.run(ROWS, "#corruptions")) == 4
    heads = [head[0] for head in window.run(HEADS, "#leaderboard")]
    rows = {row[0]: dict(zip(heads, row, strict=True)) for row in window.run(ROWS, "#leaderboard")}
    assert rows["digits/freeat"]["mCA"] == DASH
    assert rows["digits/pgdat"]["mCA"] == "96.28"


# ---- Two defenses ----


def test_comparing_gives_the_exact_paired_test(window, page, defenses):
    pair = ("digits/alp", "digits/alp_he")
    window.open(page, f"#compare={','.join(pair)}")
    first, second = ({r.header.attack.name: r.robust for r in defenses[name]} for name in pair)
    shared = [name for name in first if name in second]
    masks = {name: (first[name], second[name]) for name in shared}
    masks[f"worst case, {len(shared)} shared attacks"] = tuple(
        reduce(np.logical_and, [side[name] for name in shared]) for side in (first, second)
    )
    rows = {row[0]: row[1:] for row in window.run(ROWS, "#compare")}
    assert len(rows) == len(shared) + 3
    assert masks.keys() <= rows.keys()
    for name, (a, b) in masks.items():
        only = (int((a & ~b).sum()), int((b & ~a).sum()))
        p = mcnemar(*only)
        expected = [f"{100 * a.mean():.2f}", f"{100 * b.mean():.2f}", *map(str, only)]
        assert [rows[name][place] for place in (0, 1, 3, 4)] == expected, name
        assert rows[name][5] == ("< 0.0001" if p < 0.0001 else f"{p:.4f}"), name
    assert "shared attacks: A 75.56%, B 72.96%" in window.run(TEXT, "#compare-status")
    window.run(CHOOSE, "first-choice", "digits/alp_he")
    assert window.run(TEXT, "#compare-status") == "Choose two different defenses."


def test_mcnemar_in_the_browser_is_that_of_python(browser):
    pairs = [(a, b) for a in range(0, 40, 3) for b in range(0, 200, 7)]
    pairs += [(0, 1074), (1, 1100), (500, 521), (2000, 2100), (9000, 1)]
    found = browser.run(f"{asset('stats.js')}\nreturn arguments[0].map(([a, b]) => mcnemar(a, b));", pairs)
    for pair, p in zip(pairs, found, strict=True):
        assert p == pytest.approx(mcnemar(*pair), rel=1e-14, abs=1e-300), pair


# ---- For everyone ----

AUDIT = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations));
"""


CUT = """
for (const body of document.querySelectorAll('tbody'))
  for (const row of [...body.rows].slice(arguments[0])) row.remove();
"""


@pytest.mark.parametrize(
    ("width", "colours", "rows"),
    [(400, "dark", 3), *(slow(width, colours, 10**6) for width in (400, 1280) for colours in ("light", "dark"))],
)
def test_it_is_accessible_and_nothing_sticks_out(window, page, colours, width, rows):
    """The rows of a table are made alike: by default only the first of each are audited, for the audit is slow."""
    window.size(width)
    window.media(colours=colours)
    window.open(page, "#defense=digits%2Fpgdat")
    window.run("for (const each of document.querySelectorAll('details')) each.open = true")
    assert window.run("return document.documentElement.scrollWidth") <= width
    window.run(CUT, rows)
    window.run(AXE)
    violations = window.driver.execute_async_script(AUDIT)
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []


def test_the_keyboard_reaches_the_contents_first(browser):
    press(browser, "\ue004")
    assert browser.run("return document.activeElement.className") == "skip"
    press(browser, "\ue007")
    browser.wait("return document.activeElement.id === 'main'")


def test_colours_can_be_chosen_against_the_system(browser):
    paper = "return getComputedStyle(document.body).backgroundColor"
    bright = browser.run(paper)
    seen = []
    for _ in range(3):
        browser.run("document.getElementById('theme').click()")
        seen.append((browser.run(TEXT, "#theme"), browser.run(paper) == bright))
    assert seen == [("Colours: light", True), ("Colours: dark", False), ("Colours: as the system", True)]
    browser.media(colours="dark")
    assert browser.run(paper) != bright


def test_on_paper_nothing_is_cut_off_and_controls_are_gone(browser, page):
    browser.media(kind="print", colours="dark")
    hidden = ["#theme", "header nav", "#filters", "#curves legend", "#curves input"]
    display = "return getComputedStyle(document.querySelector(arguments[0])).display"
    assert [browser.run(display, each) for each in hidden] == ["none"] * len(hidden)
    assert browser.run(
        "return [...document.querySelectorAll('.tall')].every((e) => e.scrollHeight <= e.clientHeight + 1)"
    )
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(re.findall(rb"/Type\s*/Page\b", browser.pdf())) > 3
