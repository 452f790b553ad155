"""The chat templates known by name, the names being those of llama.cpp's `llm_chat_template`.

Each renders what llama_chat_apply_template renders for that name, whatever the roles. Like there, no BOS token is
written at the start (the tokenizer adds it), and a template without an `answer` ignores `add_generation_prompt`.
"""

from collections.abc import Mapping
from typing import Final

# `trimmed` loses what C's isspace calls white space; jinja's own trim would also take Unicode's.
_VARIABLES = (
    "{% set role = message.role %}{% set content = message.content or '' %}"
    "{% set trimmed = content.strip(' \\t\\n\\v\\f\\r') %}"
)


def _conversation(turn: str, answer: str = "", start: str = "") -> str:
    """Repeat a turn, which may use `role`, `content` and `trimmed`; end with the head of the answer."""
    head = f"{{% if add_generation_prompt %}}{answer}{{% endif %}}" if answer else ""
    return f"{start}{{% for message in messages %}}{_VARIABLES}{turn}{{% endfor %}}{head}"


def _wide(name: str) -> str:
    """Write a special token between full-width bars."""
    return f"<\uff5c{name}\uff5c>"


def _by_role(other: str = "", **turns: str) -> str:
    """Choose the turn by the role, `other` being that of all further roles."""
    cases = "".join(f"{{% elif role == '{role}' %}}{turn}" for role, turn in turns.items())
    return f"{{% {cases.removeprefix('{% el')}{{% else %}}{other}{{% endif %}}"


def _llama2(system: str, start_again: str = "", content: str = "content") -> str:
    text = f"{{{{ {content} }}}}"
    again = f"{{% if not turn.open %}}{{% set turn.open = true %}}{start_again}[INST] {{% endif %}}"
    return _conversation(
        again
        + _by_role(
            system=system.replace("...", text),
            user=f"{text} [/INST]",
            other=f"{text}</s>{{% set turn.open = false %}}",
        ),
        start="{% set turn = namespace(open=true) %}[INST] ",
    )


def _mistral(before: str, after: str, answer: str = "content") -> str:
    return _conversation(
        f"{{% if not turn.open %}}{before}[INST]{after}{{% set turn.open = true %}}{{% endif %}}"
        + _by_role(
            system="{{ content }}\n\n",
            user=f"{{{{ content }}}}{before}[/INST]",
            other=f"{after}{{{{ {answer} }}}}</s>{{% set turn.open = false %}}",
        ),
        start="{% set turn = namespace(open=false) %}",
    )


def _mistral_v7(space: str) -> str:
    return _conversation(
        _by_role(
            system=f"[SYSTEM_PROMPT]{space}{{{{ content }}}}[/SYSTEM_PROMPT]",
            user=f"[INST]{space}{{{{ content }}}}[/INST]",
            other=f"{space}{{{{ content }}}}</s>",
        )
    )


def _vicuna(system: str) -> str:
    turn = _by_role(system=system, user="USER: {{ content }}\n", assistant="ASSISTANT: {{ content }}</s>\n")
    return _conversation(turn, answer="ASSISTANT:")


def _exaone(**more: str) -> str:
    turn = _by_role(
        system="[|system|]{{ trimmed }}[|endofturn|]\n",
        user="[|user|]{{ trimmed }}\n",
        assistant="[|assistant|]{{ trimmed }}[|endofturn|]\n",
        **more,
    )
    return _conversation(turn, answer="[|assistant|]")


def _bailing(end: str = "", think: str = "", start: str = "") -> str:
    turn = "<role>{{ 'HUMAN' if role == 'user' else role.upper() }}</role>{{ content }}" + end
    return _conversation(turn, answer=f"<role>ASSISTANT</role>{think}", start=start)


_LLAMA2_SYSTEM = "<<SYS>>\n...\n<</SYS>>\n\n"
_LLAMA2_PLAIN = _llama2("...\n")

_GEMMA = _conversation(
    "{% if role == 'system' %}{% set system.text = system.text ~ trimmed %}{% else %}"
    "{% set name = 'model' if role == 'assistant' else role %}<start_of_turn>{{ name }}\n"
    "{% if system.text and name != 'model' %}{{ system.text }}\n\n{% set system.text = '' %}{% endif %}"
    "{{ trimmed }}<end_of_turn>\n{% endif %}",
    answer="<start_of_turn>model\n",
    start="{% set system = namespace(text='') %}",
)
_ORION = _conversation(
    _by_role(
        system="{% set system.text = system.text ~ content %}",
        user=(
            "Human: {% if system.text %}{{ system.text }}\n\n{% set system.text = '' %}{% endif %}"
            "{{ content }}\n\nAssistant: </s>"
        ),
        other="{{ content }}</s>",
    ),
    start="{% set system = namespace(text='') %}",
)
_GRANITE_4 = _conversation(
    "{% set called = role == 'assistant_tool_call' %}"
    "<|start_of_role|>{{ 'assistant' if called else role }}<|end_of_role|>{{ '<|tool_call|>' if called }}"
    "{{ content }}<|end_of_text|>\n",
    answer="<|start_of_role|>assistant<|end_of_role|>",
)

BUILT_IN_TEMPLATES: Final[Mapping[str, str]] = {
    "chatml": _conversation("<|im_start|>{{ role }}\n{{ content }}<|im_end|>\n", answer="<|im_start|>assistant\n"),
    "llama2": _LLAMA2_PLAIN,
    "llama2-sys": _llama2(_LLAMA2_SYSTEM),
    "llama2-sys-bos": _llama2(_LLAMA2_SYSTEM, start_again="<s>"),
    "llama2-sys-strip": _llama2(_LLAMA2_SYSTEM, content="trimmed"),
    # llama.cpp takes the bare name for the first Mistral's format, which is Llama 2's without a system part.
    "mistral": _LLAMA2_PLAIN,
    "mistral-v1": _mistral(" ", " "),
    "mistral-v3": _mistral("", " ", answer="trimmed"),
    "mistral-v3-tekken": _mistral("", ""),
    "mistral-v7": _mistral_v7(" "),
    "mistral-v7-tekken": _mistral_v7(""),
    "phi3": _conversation("<|{{ role }}|>\n{{ content }}<|end|>\n", answer="<|assistant|>\n"),
    "phi4": _conversation(
        "<|im_start|>{{ role }}<|im_sep|>{{ content }}<|im_end|>", answer="<|im_start|>assistant<|im_sep|>"
    ),
    "falcon3": _conversation("<|{{ role }}|>\n{{ content }}\n", answer="<|assistant|>\n"),
    "zephyr": _conversation("<|{{ role }}|>\n{{ content }}<|endoftext|>\n", answer="<|assistant|>\n"),
    "monarch": _conversation("{{ '<s>' if not loop.first }}{{ role }}\n{{ content }}</s>\n", answer="<s>assistant\n"),
    "gemma": _GEMMA,
    "orion": _ORION,
    "openchat": _conversation(
        _by_role(
            system="{{ content }}<|end_of_turn|>",
            other="GPT4 Correct {{ role[:1].upper() ~ role[1:] }}: {{ content }}<|end_of_turn|>",
        ),
        answer="GPT4 Correct Assistant:",
    ),
    "vicuna": _vicuna("{{ content }}\n\n"),
    "vicuna-orca": _vicuna("SYSTEM: {{ content }}\n"),
    "deepseek": _conversation(
        _by_role(
            system="{{ content }}",
            user="### Instruction:\n{{ content }}\n",
            assistant="### Response:\n{{ content }}\n<|EOT|>\n",
        ),
        answer="### Response:\n",
    ),
    "deepseek2": _conversation(
        _by_role(
            system="{{ content }}\n\n",
            user="User: {{ content }}\n\n",
            assistant="Assistant: {{ content }}" + _wide("end▁of▁sentence"),
        ),
        answer="Assistant:",
    ),
    "deepseek3": _conversation(
        _by_role(
            system="{{ content }}\n\n",
            user=_wide("User") + "{{ content }}",
            assistant=_wide("Assistant") + "{{ content }}" + _wide("end▁of▁sentence"),
        ),
        answer=_wide("Assistant"),
    ),
    "deepseek-ocr": _conversation("{{ content }}"),
    "command-r": _conversation(
        _by_role(
            **{
                role: f"<|START_OF_TURN_TOKEN|><|{name}_TOKEN|>{{{{ trimmed }}}}<|END_OF_TURN_TOKEN|>"
                for role, name in (("system", "SYSTEM"), ("user", "USER"), ("assistant", "CHATBOT"))
            }
        ),
        answer="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    "llama3": _conversation(
        "<|start_header_id|>{{ role }}<|end_header_id|>\n\n{{ trimmed }}<|eot_id|>",
        answer="<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "llama4": _conversation(
        "<|header_start|>{{ role }}<|header_end|>\n\n{{ trimmed }}<|eot|>",
        answer="<|header_start|>assistant<|header_end|>\n\n",
    ),
    "chatglm3": _conversation("<|{{ role }}|>\n {{ content }}", answer="<|assistant|>", start="[gMASK]sop"),
    "chatglm4": _conversation("<|{{ role }}|>\n{{ content }}", answer="<|assistant|>\n", start="[gMASK]<sop>"),
    "glmedge": _conversation("<|{{ role }}|>\n{{ content }}", answer="<|assistant|>"),
    "minicpm": _conversation(_by_role(user="<用户>{{ trimmed }}<AI>", other="{{ trimmed }}")),
    "exaone3": _exaone(),
    "exaone4": _exaone(tool="[|tool|]{{ trimmed }}[|endofturn|]\n"),
    "exaone-moe": _conversation(
        "{% if role in ('system', 'user', 'assistant', 'tool') %}"
        "<|{{ role }}|>\n{{ trimmed }}<|endofturn|>\n{% endif %}",
        answer="<|assistant|>\n",
    ),
    "rwkv-world": _conversation(
        _by_role(
            system="System: {{ trimmed }}\n\n",
            user="User: {{ trimmed }}\n\n{{ 'Assistant:' if loop.last }}",
            assistant="Assistant: {{ trimmed }}\n\n",
        )
    ),
    "granite": _conversation(
        "<|start_of_role|>{{ role }}<|end_of_role|>{{ '<|tool_call|>' if role == 'assistant_tool_call' }}"
        "{{ content }}<|end_of_text|>\n",
        answer="<|start_of_role|>assistant<|end_of_role|>",
    ),
    "granite-4.0": _GRANITE_4,
    "granite-4.1": _GRANITE_4,
    "gigachat": _conversation(
        _by_role(
            system="{{ content ~ '<|message_sep|>' if loop.first }}",
            user=("user<|role_sep|>{{ content }}<|message_sep|>available functions<|role_sep|>[]<|message_sep|>"),
            assistant="assistant<|role_sep|>{{ content }}<|message_sep|>",
        ),
        answer="assistant<|role_sep|>",
        start="<s>",
    ),
    "megrez": _conversation(
        "<|role_start|>{{ role }}<|role_end|>{{ content }}<|turn_end|>", answer="<|role_start|>assistant<|role_end|>"
    ),
    "yandex": _conversation(
        _by_role(user=" Пользователь: {{ content }}\n\n", assistant=" Ассистент: {{ content }}\n\n"),
        answer=" Ассистент:[SEP]",
    ),
    "bailing": _bailing(),
    "bailing-think": _bailing(think="<think>"),
    "bailing2": _bailing(
        end="<|role_end|>",
        start=(
            "{% if not messages or messages[0].role != 'system' %}"
            "<role>SYSTEM</role>detailed thinking off<|role_end|>{% endif %}"
        ),
    ),
    "smolvlm": _conversation(
        _by_role(
            system="{{ content }}\n\n",
            user="User: {{ content }}<end_of_utterance>\n",
            other="Assistant: {{ content }}<end_of_utterance>\n",
        ),
        answer="Assistant:",
        start="<|im_start|>",
    ),
    "hunyuan-moe": _conversation(
        _by_role(
            system="<|startoftext|>{{ content }}<|extra_4|>",
            assistant="{{ content }}<|eos|>",
            other="<|startoftext|>{{ content }}<|extra_0|>",
        )
    ),
    "hunyuan-dense": _conversation(
        _by_role(
            system="{{ content ~ '" + _wide("hy_place▁holder▁no▁3") + "' if loop.first }}",
            user=_wide("hy_User") + "{{ content }}" + _wide("hy_Assistant"),
            assistant=_wide("hy_Assistant") + "{{ content }}" + _wide("hy_place▁holder▁no▁2"),
        )
    ),
    "hunyuan-vl": _conversation(
        _by_role(
            system="{{ content ~ '" + _wide("hy_place▁holder▁no▁3") + "' if loop.first }}",
            user="{{ content }}" + _wide("hy_User"),
            assistant="{{ content }}" + _wide("hy_Assistant"),
        ),
        start=_wide("hy_begin▁of▁sentence"),
    ),
    "gpt-oss": _conversation(
        "<|start|>{{ role }}<|message|>{{ content }}{{ '<|return|>' if role == 'assistant' else '<|end|>' }}",
        answer="<|start|>assistant",
    ),
    "kimi-k2": _conversation(
        _by_role(
            system="<|im_system|>system<|im_middle|>",
            user="<|im_user|>user<|im_middle|>",
            assistant="<|im_assistant|>assistant<|im_middle|>",
            tool="<|im_system|>tool<|im_middle|>",
        )
        + "{{ content }}<|im_end|>",
        answer="<|im_assistant|>assistant<|im_middle|>",
    ),
    "seed_oss": _conversation(
        "<seed:bos>{{ role }}\n{{ trimmed if role == 'assistant' else content }}<seed:eos>",
        answer="<seed:bos>assistant\n",
    ),
    "grok-2": _conversation(
        _by_role(
            system="System: {{ trimmed }}<|separator|>\n\n",
            user="Human: {{ trimmed }}<|separator|>\n\n",
            assistant="Assistant: {{ content }}<|separator|>\n\n",
        ),
        answer="Assistant:",
    ),
    "pangu-embedded": _conversation(
        "{{ '[unused9]系统\uff1a[unused10]' if loop.first and role != 'system' }}"
        + _by_role(
            **{
                role: f"[unused9]{name}\uff1a{{{{ content }}}}[unused10]"
                for role, name in (
                    ("system", "系统"),
                    ("user", "用户"),
                    ("assistant", "助手"),
                    ("tool", "工具"),
                    ("function", "方法"),
                )
            }
        ),
        answer="[unused9]助手\uff1a",
    ),
    "solar-open": _conversation("<|begin|>{{ role }}<|content|>{{ content }}<|end|>", answer="<|begin|>assistant"),
}
