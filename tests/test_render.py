"""The renderers: every special escaped, and every number there."""

import csv as csv_file
import io
import json as json_text
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from records import TASKS, at, made, seeds

from lstm_research.render import FORMATS, csv, html, json, latex, markdown, parse
from lstm_research.table import Table

NASTY = 'a_b|c & 50% <i>x</i>, $2 {y} #1 ~z^ \\w *v* `u` "t" [s]'


@pytest.fixture
def nasty() -> Table:
    """A table whose labels hold every mark that some format gives a meaning to."""
    found = made(seeds([0.1, 0.2, 0.3]), seeds([0.1], cell="gru", status="failed"))
    rows = (replace(found.rows[0], label=NASTY), *found.rows[1:])
    columns = (replace(found.columns[0], label="x_1 | <y>, %"),)
    return replace(found, rows=rows, columns=columns)


def test_latex_escapes_every_special_and_balances_its_braces(nasty):
    text = latex(nasty)
    bare = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\$\\?[a-z<>|]+\$", "", text
    )
    body = bare.replace("\\\\", "").split("\\toprule")[1].split("\\bottomrule")[0]
    body = re.sub(r"\\(begin|end)\{tabular\}(\[t\])?(\{@\{\}l@\{\}\})?", "", body)
    assert not re.search(r"(?<!\\)[%$#_~^]", body)
    assert all(
        line.count("&") - line.count(r"\&") == 3 for line in body.splitlines() if "&" in line
    )
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert r"a\_b$|$c \& 50\% $<$i$>$x" in text and r"\textbackslash{}w" in text
    assert r"\toprule" in text and r"\bottomrule" in text and r"\textbf{0.200 {[}" in text
    assert not re.search(
        r"\\\\\s*\[", text
    )  # a line may not begin with what `\\` takes as its skip
    assert text.isascii()


def test_html_escapes_and_reads_back_as_the_text(nasty):
    text = html(nasty)
    assert text.isascii() and "<i>" not in text and "&lt;i&gt;x&lt;/i&gt;" in text

    class Reader(HTMLParser):
        said = ""
        opened: tuple[str, ...] = ()

        def handle_data(self, data):
            self.said += data

        def handle_starttag(self, tag, attributes):
            self.opened += () if tag == "br" else (tag,)

        def handle_endtag(self, tag):
            assert self.opened[-1] == tag
            self.opened = self.opened[:-1]

    reader = Reader()
    reader.feed(text)
    assert NASTY in reader.said and "x_1 | <y>, %" in reader.said and reader.opened == ()
    assert "n=3 · solved 0" in reader.said and "<strong>0.200 [" in text


def test_markdown_escapes_pipes_and_keeps_its_columns(nasty):
    lines = markdown(nasty).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 4
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert r"a\_b\|c &amp; 50% &lt;i&gt;x" in rows[2] and r"\*v\* \`u\`" in rows[2]
    assert "**0.200 [" in rows[2] and "1 of 1 failed" in rows[3]


def test_csv_quotes_commas_and_keeps_every_digit(nasty):
    rows = list(csv_file.DictReader(io.StringIO(csv(nasty))))
    assert rows[0]["variant"] == NASTY and rows[0]["task"] == "x_1 | <y>, %"
    assert float(rows[0]["mean"]) == at(nasty, 0).mean
    assert rows[0]["values"] == "0:0.1 1:0.2 2:0.3" and rows[0]["best"] == "1"
    assert rows[1]["mean"] == "" and rows[1]["failed"] == "1"


def test_json_reads_back_equal(nasty):
    assert parse(json(nasty)) == nasty
    base = [0.5, 0.1, 0.9]
    found = made(
        seeds(base), seeds(base[::-1], cell="gru"), seeds([0.1], task="copying"), baseline="lstm"
    )
    assert parse(json(found)) == found

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    json_text.loads(json(found), parse_constant=refuse)


def test_every_format_holds_every_row_and_every_mean():
    found = made(*(seeds([0.1, 0.2], cell=c, task=t) for c in ("lstm", "gru") for t in TASKS))
    for name, write in FORMATS.items():
        text = write(found)
        for word in ("lstm", "gru", *TASKS):
            assert word in text, (name, word)
        assert text.count("0.15") >= 6 and text.endswith("\n"), name
