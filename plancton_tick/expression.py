"""The small arithmetic of ``max_pilots``: text to postfix once, postfix to a number at each tick.

    sum     := product (("+" | "-") product)*
    product := signed (("*" | "/" | "//" | "%") signed)*
    signed  := ("-" | "+") signed | atom
    atom    := number | name | "(" sum ")" | ("min" | "max") "(" sum ("," sum)* ")"

Operators mean what they mean in Python. Nothing is ever evaluated as Python: whoever may write the
configuration gets numbers, not code. The postfix form holds numbers as floats, names and operators
as strings; ``min`` and ``max`` are binary there, and ``neg`` turns the sign.
"""

from collections.abc import Collection, Mapping

MAX_LENGTH = 500
MAX_NESTING = 30

_FUNCTIONS = ("min", "max")
_OPERATORS = ("//", "+", "-", "*", "/", "%", "(", ")", ",")
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

Postfix = tuple[str | float, ...]


def split_expression(text: str) -> tuple[str, ...]:
    """Split an expression into numbers, names and operators, blanks left out.

    Raises ValueError at the first character that can begin none of them.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"at most {MAX_LENGTH} characters are allowed, these are {len(text)}")
    tokens: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        start = at
        if char in " \t\r\n":
            at += 1
            continue
        if char in _DIGITS or (char == "." and text[at + 1 : at + 2] in tuple(_DIGITS)):
            at = _end_of_number(text, at)
        elif char in _LETTERS:
            while at < len(text) and (text[at] in _LETTERS or text[at] in _DIGITS):
                at += 1
        else:
            found = next((op for op in _OPERATORS if text.startswith(op, at)), None)
            if found is None:
                raise ValueError(f"{char!r} at character {at + 1} is not part of an expression")
            at += len(found)
        tokens.append(text[start:at])
    return tuple(tokens)


def compile_expression(text: str, names: Collection[str]) -> Postfix:
    """Parse an expression over these names into postfix order.

    Raises ValueError with one line that says what is wrong, and which name was perhaps meant.
    """
    parser = _Parser(split_expression(text), names)
    parser.parse_sum(0)
    if parser.at < len(parser.tokens):
        raise ValueError(f"{parser.tokens[parser.at]!r} follows a complete expression")
    return tuple(parser.postfix)


def evaluate(postfix: Postfix, values: Mapping[str, float]) -> float:
    """Compute an expression in postfix order.

    Raises ValueError for a division by zero, a name without a value, a result that is not finite
    and a malformed tuple.
    """
    stack: list[float] = []
    try:
        for token in postfix:
            if not isinstance(token, str):
                stack.append(float(token))
            elif token in values:
                stack.append(float(values[token]))
            elif token == "neg":
                stack.append(-stack.pop())
            else:
                right = stack.pop()
                stack.append(_apply(token, stack.pop(), right))
        (result,) = stack
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except IndexError:
        raise ValueError("malformed expression") from None
    # Two comparisons tell infinities and NaN without importing math.
    if result - result != 0:
        raise ValueError("the result is not finite")
    return result


def _apply(operator: str, left: float, right: float) -> float:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "/":
        return left / right
    if operator == "//":
        return left // right
    if operator == "%":
        return left % right
    if operator == "min":
        return min(left, right)
    if operator == "max":
        return max(left, right)
    raise ValueError(f"{operator!r} has no value")


def _end_of_number(text: str, at: int) -> int:
    while at < len(text) and (text[at] in _DIGITS or text[at] == "."):
        at += 1
    if text[at : at + 1] in ("e", "E"):
        end = at + 1
        if text[end : end + 1] in ("+", "-"):
            end += 1
        if text[end : end + 1] in tuple(_DIGITS):
            at = end
            while at < len(text) and text[at] in _DIGITS:
                at += 1
    return at


class _Parser:
    """One pass over the tokens of an expression, appending to ``postfix`` as it goes."""

    def __init__(self, tokens: tuple[str, ...], names: Collection[str]) -> None:
        self.tokens = tokens
        self.names = names
        self.at = 0
        self.postfix: list[str | float] = []

    def parse_sum(self, depth: int) -> None:
        self.parse_product(depth)
        while (operator := self.accept("+", "-")) is not None:
            self.parse_product(depth)
            self.postfix.append(operator)

    def parse_product(self, depth: int) -> None:
        self.parse_signed(depth)
        while (operator := self.accept("*", "/", "//", "%")) is not None:
            self.parse_signed(depth)
            self.postfix.append(operator)

    def parse_signed(self, depth: int) -> None:
        if depth > MAX_NESTING:
            raise ValueError(f"nested more than {MAX_NESTING} deep")
        if self.accept("+") is not None:
            self.parse_signed(depth + 1)
        elif self.accept("-") is not None:
            self.parse_signed(depth + 1)
            self.postfix.append("neg")
        else:
            self.parse_atom(depth)

    def parse_atom(self, depth: int) -> None:
        if self.at >= len(self.tokens):
            raise ValueError("the expression ends too early")
        token = self.tokens[self.at]
        self.at += 1
        if token == "(":
            self.parse_sum(depth + 1)
            self.expect(")")
        elif token in _FUNCTIONS:
            self.expect("(")
            self.parse_sum(depth + 1)
            while self.accept(",") is not None:
                self.parse_sum(depth + 1)
                self.postfix.append(token)
            self.expect(")")
        elif token[0] in _LETTERS:
            if token not in self.names:
                raise ValueError(self.describe_unknown(token))
            self.postfix.append(token)
        elif token[0] in _DIGITS or token[0] == ".":
            self.postfix.append(_number(token))
        else:
            raise ValueError(f"{token!r} stands where a number or a name belongs")

    def accept(self, *operators: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at] in operators:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def expect(self, operator: str) -> None:
        if self.accept(operator) is None:
            found = repr(self.tokens[self.at]) if self.at < len(self.tokens) else "the end"
            raise ValueError(f"{operator!r} belongs where {found} stands")

    def describe_unknown(self, name: str) -> str:
        # Imported here because only a faulty configuration needs it.
        from difflib import get_close_matches

        known = [*self.names, *_FUNCTIONS]
        close = get_close_matches(name, known, n=1)
        if close:
            return f"unknown name {name!r}; did you mean {close[0]!r}?"
        return f"unknown name {name!r}; the names are {', '.join(known)}"


def _number(token: str) -> float:
    try:
        number = float(token)
    except ValueError:
        raise ValueError(f"{token!r} is not a number") from None
    if number - number != 0:
        raise ValueError(f"{token!r} is too large")
    return number
