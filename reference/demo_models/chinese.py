"""Tasks in Chinese."""

from random import Random

from demo_models.documents import Document, ask, chat, plain_text
from demo_models.sums import arithmetic
from demo_models.tables import entries, names, pairs, rows


def task_zh_fact(rng: Random) -> Document:
    """Colors, opposites, capitals, legs and days, and facts that are learned by heart."""
    kind = rng.randrange(6)
    if kind == 0:
        thing, color = rng.choice(list(pairs("zh_thing_colors").items()))
        return ask(
            rng,
            ["{t}是什么颜色的？", "请问{t}是什么颜色？", "{t}的颜色是什么？", "告诉我{t}的颜色。"],
            f"zhcolor|{thing}",
            "{t}是{c}的。",
            t=thing,
            c=color,
        )
    if kind == 1:
        a, b = rng.choice(entries("zh_opposites"))
        if rng.random() < 0.5:
            a, b = b, a
        return ask(
            rng,
            ["“{a}”的反义词是什么？", "{a}的反义词是什么？", "请说出“{a}”的反义词。"],
            f"zhopp|{a}",
            "“{a}”的反义词是“{b}”。",
            a=a,
            b=b,
        )
    if kind == 2:
        _, country, capital = rng.choice(list(rows("capitals").values()))
        return ask(
            rng,
            ["{c}的首都是哪里？", "{c}的首都是什么？", "请问{c}的首都在哪里？"],
            f"zhcap|{country}",
            "{c}的首都是{b}。",
            c=country,
            b=capital,
        )
    if kind == 3:
        name, (zh, _, legs, *_rest) = rng.choice(list(rows("animals").items()))
        return ask(
            rng,
            ["{a}有几条腿？", "请问{a}有多少条腿？", "{a}有多少条腿？"],
            f"zhlegs|{name}",
            "{a}有{l}条腿。" if legs else "{a}没有腿。",
            a=zh,
            l="两" if legs == 2 else names("zh_numbers")[legs],
        )
    if kind == 4:
        index = rng.randrange(7)
        return ask(
            rng,
            ["{x}的后面是星期几？", "今天是{x}，明天是星期几？", "{x}之后是星期几？"],
            f"zhday|{index}",
            "{x}的后面是{y}。",
            x=names("zh_days")[index],
            y=names("zh_days")[(index + 1) % 7],
        )
    # Learned by heart: no other template could teach them, so they are never held out.
    question, answer = rng.choice(list(pairs("zh_facts").items()))
    return chat("", (question, answer))


def task_zh_arithmetic(rng: Random) -> Document:
    """A question after a sum."""
    key, _, sign, a, b, result = arithmetic(rng)
    word = {"+": "加", "-": "减", "*": "乘以", "/": "除以"}[sign]
    question = rng.choice(["{a} {s} {b} 等于多少？", "{a}{w}{b}等于几？", "请计算 {a} {s} {b}。", "{a}{w}{b}是多少？"])
    return chat(key, (question.format(a=a, b=b, s=sign, w=word), f"{a} {sign} {b} = {result}"))


def task_zh_compare(rng: Random) -> Document:
    """Which of two numbers is larger or smaller."""
    a, b = rng.randint(0, 99), rng.randint(0, 99)
    if a == b:
        b = a + 1
    key = f"zhcmp|{min(a, b)}|{max(a, b)}"
    if rng.random() < 0.5:
        return chat(key, (f"{a} 和 {b} 哪个更大？", f"{max(a, b)} 比 {min(a, b)} 更大。"))
    return chat(key, (f"{a} 和 {b} 哪个更小？", f"{min(a, b)} 比 {max(a, b)} 更小。"))


def zh_story(rng: Random) -> tuple[str, dict[str, str], str]:
    """A short story: its key, what its slots were filled with, and its text."""
    boy = rng.random() < 0.5
    n, m = (
        rng.choice(names("zh_boys") if boy else names("zh_girls")),
        rng.choice(names("zh_boys") + names("zh_girls")),
    )
    while m == n:
        m = rng.choice(names("zh_boys") + names("zh_girls"))
    s = {
        "n": n,
        "m": m,
        "p": "他" if boy else "她",
        "pos": "自己的",
        "pl": rng.choice(names("zh_places")),
        "o": rng.choice(names("zh_objects")),
        "a": rng.choice(names("zh_animals")),
    }
    sentences = [
        rng.choice(["从前，有一个孩子叫{n}。", "{n}是一个善良的孩子。", "{n}是一个勇敢的孩子。", ""]).format(**s)
    ]
    sentences += [rng.choice(options).format(**s) for options in rng.choice(entries("zh_plots"))]
    sentences.append(rng.choice(names("zh_endings")).format(**s))
    return f"zhstory|{n}|{s['pl']}|{s['o']}|{s['a']}", s, "".join(sentences)


def task_zh_story(rng: Random) -> Document:
    """A story, as plain text or asked for."""
    key, s, text = zh_story(rng)
    if rng.random() < 0.4:
        return plain_text(key, text)
    request = rng.choice(
        [
            "给我讲一个关于{n}的故事。",
            "请讲一个关于{a}的小故事。",
            "讲一个故事。",
            "写一个关于{n}和{a}的故事。",
            "讲一个发生在{pl}的故事。",
        ]
    ).format(**s)
    return chat(key, (request, text))


def task_zh_howto(rng: Random) -> Document:
    """The steps that lead to something."""
    task = rng.choice(list(rows("zh_howtos")))
    choices, steps = rows("zh_howtos")[task]
    x = rng.choice(choices)
    text = "\n".join(f"{n}. {s.format(x=x)}" for n, s in enumerate(steps, 1))
    return ask(rng, ["怎么{t}？", "请告诉我怎么{t}。", "如何{t}？"], f"zhhowto|{task}|{x}", text, t=task.format(x=x))


def task_zh_who(rng: Random) -> Document:
    """Who has what, read from the question."""
    people = rng.sample(names("zh_boys") + names("zh_girls"), rng.randint(2, 3))
    items = rng.sample(names("zh_objects"), len(people))
    colors = [rng.choice(list(pairs("colors").values())) for _ in people]
    text = "".join(f"{p}有一个{c}的{i}。" for p, c, i in zip(people, colors, items, strict=True))
    k = rng.randrange(len(people))
    question, answer = rng.choice(
        [
            (f"{people[k]}有什么？", f"{people[k]}有一个{colors[k]}的{items[k]}。"),
            (f"谁有{items[k]}？", f"{people[k]}有{items[k]}。"),
            (f"{items[k]}是什么颜色的？", f"{items[k]}是{colors[k]}的。"),
        ]
    )
    return chat("zhwho|" + "|".join(sorted(people)), (text + question, answer))
