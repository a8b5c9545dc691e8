"""Tables in a width: what stands where, and that nothing is lost on the way."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from procurement_platform.cli.layout import Cells, Laid, View, lay_out


def table(*, width: int | None, details: tuple[str, ...] = (), spare: tuple[str, ...] = (), **columns: list[str]) -> Laid:
    cells = [Cells(name, texts, number := texts[0].replace(",", "").isdigit(), number) for name, texts in columns.items()]
    return lay_out(cells, width, View(details, spare))


def test_what_fits_is_one_line_a_row_with_numbers_to_the_right() -> None:
    laid = table(width=None, market=["DE", "PL"], order_lines=["1,200", "7"], note=["late", ""])
    assert laid.header == ["market  order_lines  note"]
    assert laid.body == ["DE            1,200  late", "PL                7"]
    assert table(width=25, market=["DE", "PL"], order_lines=["1,200", "7"], note=["late", ""]) == laid


def test_headers_are_folded_before_anything_is_left_out() -> None:
    laid = table(width=14, spare=("safety_stock",), sku=["A-1"], safety_stock=["12"])
    assert laid.header == ["     safety_", "sku    stock"]
    assert laid.body == ["A-1       12"]
    assert laid.left_out == ()


def test_headers_are_whole_where_there_is_room() -> None:
    laid = table(width=22, safety_stock=["1"], net_demand=["22"])
    assert laid.header == ["                net_", "safety_stock  demand"]
    assert laid.body == ["           1      22"]


def test_long_texts_stand_below_their_row() -> None:
    laid = table(width=24, details=("message",), rule=["MISSING_FILE", "OTHER"], rows=["1", "20"], message=["DE sent no stock file.", ""])
    assert laid.header == ["rule          rows"]
    assert laid.body == ["MISSING_FILE     1", "    DE sent no stock", "    file.", "OTHER           20"]


def test_columns_are_left_out_in_their_order_and_named_as_in_the_table() -> None:
    spare = ("third", "first", "last")
    cells = [Cells(name, [digit * 9], whole=True) for name, digit in (("first", "1"), ("second", "2"), ("third", "3"), ("last", "4"))]
    assert lay_out(cells, 31, View(spare=spare)).left_out == ("third",)
    assert lay_out(cells, 21, View(spare=spare)).left_out == ("first", "third")
    assert lay_out(cells, 21, View(spare=spare)).body == ["222222222  444444444"]


def test_texts_are_folded_between_words_and_get_the_room_there_is() -> None:
    laid = table(width=40, name=["Piana Pizza margherita of three hundred and fifty grams"], units=["1"])
    assert laid.body == ["Piana Pizza margherita of three        1", "hundred and fifty grams"]


def test_where_no_row_fits_each_is_a_block_of_all_its_columns() -> None:
    laid = table(width=16, spare=("sku",), sku=["BAK-00001", ""], amount=["123,456,789", "5"], currency=["EUR", "EUR"])
    assert laid.header == ()
    assert laid.body == ["sku: BAK-00001", "amount:", "    123,456,789", "currency: EUR", "", "amount: 5", "currency: EUR"]


WORDS = st.text("abcdé中-_.", min_size=1, max_size=30)
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)
NUMBERS = st.integers(0, 10**12).map(lambda n: f"{n:,}")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Cells], View]:
    rows = draw(st.integers(1, 4))
    names = draw(st.lists(st.from_regex(r"[a-z]{1,9}(_[a-z]{1,7})?", fullmatch=True), min_size=1, max_size=8, unique=True))
    columns = []
    for name in names:
        number = draw(st.booleans())
        columns.append(Cells(name, draw(st.lists(NUMBERS if number else TEXTS, min_size=rows, max_size=rows)), number, number))
    details = [column.name for column in columns if not column.whole and draw(st.booleans())]
    return columns, View(tuple(details), tuple(draw(st.permutations([name for name in names if name not in details]))))


@given(tables(), st.integers(24, 200))
def test_every_line_fits_and_nothing_is_lost_unnamed(drawn: tuple[list[Cells], View], width: int) -> None:
    columns, view = drawn
    laid = lay_out(columns, width, view)
    assert all(cell_len(line) <= width for line in (*laid.header, *laid.body))
    assert all(line == line.rstrip() for line in (*laid.header, *laid.body))
    shown = "".join("".join(laid.body).split())
    for column in columns:
        if column.name in laid.left_out:
            continue
        for text in column.cells:
            if column.whole:
                assert any(text in line for line in laid.body)
            else:  # folded: its characters are there, in their order
                rest = iter(shown)
                assert all(character in rest for character in "".join(text.split()))


@given(tables())
def test_without_a_width_each_row_is_one_line_with_every_column(drawn: tuple[list[Cells], View]) -> None:
    columns, view = drawn
    laid = lay_out(columns, None, view)
    assert laid.left_out == ()
    assert laid.header[0].split() == [column.name for column in columns]
    assert len(laid.body) == len(columns[0].cells)
    for row, line in enumerate(laid.body):
        assert all(column.cells[row].strip() in line for column in columns)
