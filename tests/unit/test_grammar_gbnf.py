"""GBNF: every construct, against texts; all of regular expressions, against Python's; and what is no grammar."""

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import GrammarError
from tests.unit.following import demo_grammars, demo_tokenizer, follows

ARITHMETIC = r"""
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*   # blanks
"""
JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array  ::= "[" ws (
    # may be empty
    value ("," ws value)*
)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""


@pytest.mark.parametrize(
    ("grammar", "yes", "no"),
    [
        ('root ::= "yes" | "no"', ["yes", "no"], ["", "ye", "yesno", "Yes"]),
        ('root ::= "a"* "b"+ "c"?', ["b", "aabbc"], ["a", "bcc"]),
        ('root ::= "ab"{2}', ["abab"], ["ab", "abb", "ababab"]),
        ('root ::= "a"{2,}', ["aa", "aaaaa"], ["a"]),
        ('root ::= "a"{0,2} | "b"{ 1 , 2 }', ["", "aa", "b", "bb"], ["aaa", "bbb", "ab"]),
        ('root ::= "a"{0} "b"{0,0} "c"', ["c"], ["ac", "bc"]),
        ('root ::= "a"{2}{3}', ["a" * 6], ["aaaa", "a" * 5]),
        ('root ::= ("a" | "bc" ("d" | "e")*){2}', ["aa", "abcde", "bcdbc"], ["a", "ade"]),
        ("root ::= [a-cx] [^a-c\\n]", ["ad", "x😀", "cé"], ["aa", "dd", "a\n", "a"]),
        ("root ::= [a-] [\\]\\-\\[^]", ["-]", "a^", "a["], ["b]", "a\\"]),
        (r'root ::= "\x41\u00e9\U0001F600\t\r\n\\\"\[\]\-"', ['Aé😀\t\r\n\\"[]-'], ["A"]),
        ("root ::= . .", ["a\n", "é😀"], ["a", "abc"]),
        ('root ::= "日本" [ぁ-ゟ]+', ["日本ひらがな"], ["日本", "日ひ"]),
        ('root ::= a-1 "!"\na-1::=\n  "x"|\n "y"\r\n', ["x!", "y!"], ["x"]),
        ('root ::= ""', [""], ["a"]),
        ('root ::= | "a"', ["", "a"], ["b"]),
        ("root ::= [a-z]+ [a-z] | \"abcd!\"", ["ab", "abcd", "abcd!"], ["a", "abc!"]),
        ('root ::= root "a" | "b"', ["b", "baaa"], ["a", "ab"]),
        ('root ::= "(" root ")" | "x"', ["x", "((x))"], ["((x)", "x)"]),
        ('root ::= "a"\nroot ::= "b"', ["b"], ["a"]),
        ('%llguidance {}\nstart: /a+/ "b"', ["aab"], ["b"]),
        (ARITHMETIC, ["1+x_2= 3\n", "(a *(b+1))=c\n7=7\n"], ["1+=2\n", "(a=b\n", "1=1"]),
        (JSON, ['{"a": [1, -2.5e+3, true, null], "b": {"c": "d\\u00e9\\n"}}', "{}\n "], ["[]", '{"a": 01}', "{,}"]),
    ],
)  # fmt: skip
def test_constructs(grammar: str, yes: list[str], no: list[str]) -> None:
    constraint = demo_grammars().gbnf(grammar)
    assert [text for text in yes if not follows(constraint, text)] == []
    assert [text for text in no if follows(constraint, text)] == []


def test_tokens() -> None:
    tokenizer = demo_tokenizer()
    start, end = (tokenizer.tokenize(text, parse_special=True)[0] for text in ("<|im_start|>", "<|im_end|>"))
    the = tokenizer.tokenize(" the")[0]
    constraint = demo_grammars().gbnf(f"root ::= <|im_start|> !<[{the}]>+")
    assert follows(constraint, [start, the + 1, the + 2])
    assert not follows(constraint, [start])
    assert not follows(constraint, [start, the])
    assert not follows(constraint, [the + 1])
    assert not follows(demo_grammars().gbnf("root ::= .*"), [start])
    assert end in tokenizer.end_of_generation


def test_the_end_is_where_the_grammar_ends() -> None:
    tokenizer = demo_tokenizer()
    constraint = demo_grammars().gbnf('root ::= "yes"')
    assert not any(constraint.allows(end) for end in tokenizer.end_of_generation)
    for token in tokenizer.tokenize("yes"):
        constraint.accept(token)
    assert all(constraint.allows(end) for end in tokenizer.end_of_generation)


REGEX = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", "é", "[a-c]", "."]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: f"({'|'.join(each)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}"])).map(lambda x: f"({x[0]}){x[1]}"),
    ),
    max_leaves=6,
)  # fmt: skip


def in_gbnf(regex: str) -> str:
    return re.sub(r"\[[^]]*\]|[abé]", lambda m: m[0] if m[0].startswith("[") else f'"{m[0]}"', regex)


@given(REGEX, st.lists(st.text("abcé\n", max_size=7), min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_regular_expressions(regex: str, texts: list[str]) -> None:
    constraint = demo_grammars().gbnf(f"root ::= {in_gbnf(regex)}")
    for text in texts:
        assert follows(constraint, text) == bool(re.fullmatch(regex, text, re.DOTALL)), (regex, text)


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("", "no rule 'root'"),
        ('other ::= "a"', "no rule 'root'"),
        ("root ::= other", "line 1, column 10: expected the name of a rule: there is no rule 'other'"),
        ('root ::= "a', "column 12: expected the end of what was opened; found the end"),
        ("root ::= [a", "the end of what was opened"),
        ("root ::= []", "the brackets are empty"),
        ("root ::= [z-a]", "a range from a lower to a higher character"),
        (r'root ::= "\q"', r"expected an escape"),
        (r'root ::= "\x4"', r"expected an escape"),
        ('root ::= "\\', r"expected an escape"),
        (r'root ::= "\uD800"', "a character of Unicode"),
        (r'root ::= "\U00110000"', "a character of Unicode"),
        ('root ::= ("a"', r"expected '\)'; found the end"),
        ('root ::= "a")', "expected the end of the line"),
        ("root ::= *", "something to repeat before it"),
        ('root ::= "a"{2', r"expected {m}, {m,} or {m,n}"),
        ('root ::= "a"{,2}', r"expected {m}, {m,} or {m,n}"),
        ('root ::= "a"{3,2}', "numbers of repetitions that rise"),
        ('root ::= "a"{99999999999}', "up to 100,000"),
        ('root = "a"', "expected '::='"),
        ('root ::= "a"\n+ ::= "b"', "line 2, column 1: expected a rule's name"),
        ("root ::= <unheard of>", "of one token of the vocabulary"),
        ("root ::= <[12]", "of one token of the vocabulary"),
        ("root ::= <[99999999]>", "cannot be enforced"),
        ("root ::= " + "(" * 101, "at most 100 brackets"),
        ('root ::= "a"' + "*" * 5000, "nested too deeply"),
        ("root ::= a0\n" + "".join(f"a{i} ::= a{i + 1}\n" for i in range(5000)) + 'a5000 ::= "a"', "more than 1000"),
        ("%llguidance {}\nstart: nothing", "cannot be enforced"),
    ],
)  # fmt: skip
def test_what_is_no_grammar(grammar: str, message: str) -> None:
    with pytest.raises(GrammarError, match=message.replace("{", r"\{")):
        demo_grammars().gbnf(grammar)


@given(st.text(st.sampled_from('root ::=ab"()[]|*+?{}1,^-.#\n\\x<>!'), max_size=25))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_grammar_or_an_error(text: str) -> None:
    with suppress(GrammarError):
        demo_grammars().gbnf("root ::= " + text)
