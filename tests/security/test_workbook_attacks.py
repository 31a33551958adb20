"""Attacks by a workbook that is made up. Each docstring tells the attack."""

import io
import resource
import struct
import subprocess
import sys
import time
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from app.core.errors import InvalidInput
from app.projects.rows import read_projects
from tests.workbooks import BEGINNING, END, SHEET, with_part, workbook

GOOD = workbook({"S": [["CIK", "Name"], ["1", "One"]]})
MEGABYTE = b" " * 1024 * 1024


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidInput) as refused:
        read_projects(io.BytesIO(content))
    return refused.value.detail


def sheet(rows: str) -> bytes:
    return with_part(GOOD, SHEET, BEGINNING + rows + END)


def bomb(name: str, megabytes: int) -> bytes:
    content = io.BytesIO()
    with ZipFile(io.BytesIO(GOOD)) as good, ZipFile(content, "w", ZIP_DEFLATED) as new:
        for part in good.infolist():
            if part.filename != name:
                new.writestr(part, good.read(part))
        with new.open(name, "w") as part:
            for _ in range(megabytes):
                part.write(MEGABYTE)
    return content.getvalue()


@pytest.mark.parametrize("name", [SHEET, "xl/sharedStrings.xml", "xl/media/picture.png"])
def test_a_small_file_that_unfolds_to_a_huge_one_is_not_unfolded(name: str) -> None:
    """300 KB unfold to 300 MB, under a name that looks harmless too, and the memory is full."""
    content = bomb(name, 300)
    assert len(content) < 400_000
    began = time.process_time()
    assert "too large: at most 200 MB" in refusal(content)
    assert time.process_time() - began < 0.5


def test_what_lies_about_its_size_is_not_unfolded_further() -> None:
    """The table of contents says a kilobyte, so that the look at it finds nothing wrong."""
    content = bytearray(bomb(SHEET, 300))
    place = content.rindex(SHEET.encode()) - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    struct.pack_into("<I", content, place + 24, 1024)
    began = time.process_time()
    assert "damaged" in refusal(bytes(content))
    assert time.process_time() - began < 0.5


def test_a_cell_far_away_does_not_make_a_table_as_large() -> None:
    """Two cells, A1 and the last there is: 17 billion in between, half a terabyte if laid out."""
    far = '<row r="1"><c r="A1"><v>1</v></c></row>'
    far += '<row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    script = (
        "import resource, sys, io; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30));"
        "from app.projects.rows import read_projects\n"
        "try: read_projects(io.BytesIO(sys.stdin.buffer.read()))\n"
        "except Exception as error: print(error.detail)"
    )
    done = subprocess.run([sys.executable, "-c", script], input=sheet(far), capture_output=True)
    assert "The file's headings are" in done.stdout.decode() + done.stderr.decode()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1 << 20


@pytest.mark.parametrize("row", ["1048577", "999999999999", "1e300", "x", "-1"])
def test_a_row_that_no_sheet_has_is_refused(row: str) -> None:
    """A row's number is to make a thousand million blank rows, each of them read."""
    cells = '<row r="1"><c r="A1"><v>1</v></c></row>'
    began = time.process_time()
    refusal(sheet(f'{cells}<row r="{row}"><c><v>2</v></c></row>'))
    assert time.process_time() - began < 10


def test_entities_do_not_multiply() -> None:
    """A billion laughs: a word that stands for ten words, each of which stands for ten."""
    entities = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
    )
    cell = '<row r="1"><c r="A1" t="str"><v>&a9;</v></c></row>'
    began = time.process_time()
    text = f"<!DOCTYPE x [{entities}]>" + BEGINNING + cell + END
    assert "damaged" in refusal(with_part(GOOD, SHEET, text))
    assert time.process_time() - began < 10


def test_a_file_of_the_machine_is_not_read_into_a_cell() -> None:
    """An external entity names a file of the portal's machine, to see it in the preview."""
    text = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + BEGINNING
    text += '<row r="1"><c r="A1" t="str"><v>&f;</v></c><c r="B1" t="str"><v>x</v></c></row>' + END
    assert "root:" not in refusal(with_part(GOOD, SHEET, text))


BROKEN = {
    "no sheet": with_part(GOOD, SHEET, "<x"),
    "no strings": sheet('<row r="1"><c r="A1" t="s"><v>7</v></c></row>'),
    "no number": sheet('<row r="1"><c r="A1"><v>x</v></c></row>'),
    "no style": sheet(
        '<row r="1"><c r="A1" s="99"><v>1</v></c><c r="B1" s="99"><v>2</v></c></row>'
    ),
    "no cell": sheet('<row r="1"><c r="ZZZZ9"><v>1</v></c></row>'),
    "no workbook": with_part(GOOD, "xl/workbook.xml", ""),
    "no types": with_part(GOOD, "[Content_Types].xml", "<x/>"),
    "cut off": GOOD[: len(GOOD) // 2],
    "only a name": b"PK\x03\x04",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_inside_is_refused_in_a_sentence(name: str) -> None:
    """Each of these made a workbook's reader raise something else: a page of the portal's 500."""
    assert refusal(BROKEN[name]).endswith(".")


def test_other_archives_are_no_workbooks() -> None:
    """A program's archive, or LibreOffice's own format, is uploaded as a list of clients."""
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    assert "neither a CSV file nor an .xlsx workbook" in refusal(content.getvalue())
