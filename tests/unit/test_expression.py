"""The arithmetic of ``max_pilots``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plancton_tick.expression import MAX_LENGTH, compile_expression, evaluate, split_expression

VALUES = {"ncpus": 8.0, "ram_bytes": 16.0 * 1024**3, "swap_bytes": 0.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("2.5", 2.5),
        (".5", 0.5),
        ("1e3", 1000),
        ("ncpus", 8),
        ("ncpus - 2", 6),
        ("ncpus-2", 6),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("7 // 2", 3),
        ("7 / 2", 3.5),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("8 - 3 - 2", 3),
        ("16 / 4 / 2", 2),
        ("--3", 3),
        ("+3", 3),
        ("2 - -2", 4),
        ("min(ncpus, 4)", 4),
        ("max(1, ncpus - 20)", 1),
        ("min(3)", 3),
        ("min(5, 4, 3) + max(1, 2, 3)", 6),
        ("min(ncpus, ram_bytes // 2147483648)", 8),
    ],
)
def test_means_what_python_means(text: str, expected: float) -> None:
    assert evaluate(compile_expression(text, tuple(VALUES)), VALUES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends too early"),
        ("1 +", "ends too early"),
        ("(1", "belongs where the end"),
        ("1)", "follows a complete expression"),
        ("1 2", "follows a complete expression"),
        ("* 2", "stands where a number"),
        ("2 ** 3", "stands where a number"),
        ("min()", "stands where a number"),
        ("min", "belongs where the end"),
        ("ncpu - 1", "did you mean 'ncpus'"),
        ("zzz", "the names are ncpus"),
        ("ncpus(3)", "follows a complete expression"),
        ("__import__('os')", "is not part of an expression"),
        ("ncpus; 3", "is not part of an expression"),
        ("1.2.3", "is not a number"),
        ("1e999", "is too large"),
        ("٣", "is not part of an expression"),
        ("(" * 100 + "1" + ")" * 100, "nested more than"),
        ("-" * 400 + "1", "nested more than"),
        ("1" * (MAX_LENGTH + 1), "at most"),
    ],
)
def test_faulty_text_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="(?s).*") as error:
        compile_expression(text, tuple(VALUES))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "postfix", [(), ("+",), (1.0, "+"), (1.0, 2.0), ("huh",), (1.0, 0.0, "//"), (1e308, 10.0, "*")]
)
def test_what_has_no_value_is_a_value_error(postfix: tuple[str | float, ...]) -> None:
    with pytest.raises(ValueError, match="."):
        evaluate(postfix, VALUES)


def test_division_by_a_value_of_zero_is_a_value_error() -> None:
    postfix = compile_expression("ncpus / swap_bytes", tuple(VALUES))
    with pytest.raises(ValueError, match="division by zero"):
        evaluate(postfix, VALUES)


@given(st.text(alphabet="0123456789.+-*/%(), minaxcpus", max_size=40))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    try:
        result = evaluate(compile_expression(text, tuple(VALUES)), VALUES)
    except ValueError:
        return
    assert isinstance(result, float)


EXPRESSIONS = st.recursive(
    st.integers(0, 50).map(str) | st.sampled_from(["ncpus", "0.5", "-3"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(" ".join),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(
            lambda t: "{}({},{})".format(*t)
        ),
        inner.map("({})".format),
        inner.map("-{}".format),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_every_expression_is_worth_what_python_says(text: str) -> None:
    try:
        expected = eval(text, {"ncpus": 8.0})
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="division by zero"):
            evaluate(compile_expression(text, tuple(VALUES)), VALUES)
        return
    result = evaluate(compile_expression(text, tuple(VALUES)), VALUES)
    assert result == pytest.approx(expected)


def test_splits_into_tokens() -> None:
    assert split_expression("min(a,1.5)//2") == ("min", "(", "a", ",", "1.5", ")", "//", "2")
