"""Python's own manual and short puzzles -> rows of tokens, and questions with one right answer.

A token is a byte or one of five marks, so bits per byte needs no conversion. The text is the
language reference that ``help()`` reads (pydoc_data.topics), which every Python carries. Whether a
question is held out depends on its text alone: none of the test side is ever trained on.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MARKS = ("<|bos|>", "<|user_start|>", "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>")
BOS, USER, USER_END, ASSISTANT, ASSISTANT_END = range(256, 256 + len(MARKS))
VOCAB_SIZE = 256 + len(MARKS)
IGNORE = -1  # a target that is not learned and not counted


@dataclass(frozen=True, slots=True)
class Question:
    """What a user asks, and the only answer that counts."""

    prompt: str
    answer: str

    def prompt_tokens(self) -> list[int]:
        """Return the tokens up to where the assistant speaks."""
        return [BOS, USER, *self.prompt.encode(), USER_END, ASSISTANT]

    def answer_tokens(self) -> list[int]:
        """Return the tokens that the assistant should say."""
        return [*self.answer.encode(), ASSISTANT_END]

    def held_out(self) -> bool:
        """Return whether this question belongs to the test side."""
        return zlib.crc32(self.prompt.encode()) % 5 == 0


def _copy(rng: random.Random) -> Question:
    word = "".join(rng.choices("abcdefghijklmnop", k=6))
    return Question(f"copy {word}", word)


def _reverse(rng: random.Random) -> Question:
    word = "".join(rng.choices("abcdefghijklmnop", k=5))
    return Question(f"reverse {word}", word[::-1])


def _sort(rng: random.Random) -> Question:
    digits = rng.choices("0123456789", k=5)
    return Question(f"sort {''.join(digits)}", "".join(sorted(digits)))


def _add(rng: random.Random) -> Question:
    a, b = rng.randrange(40), rng.randrange(40)
    return Question(f"add {a:02}+{b:02}", f"{a + b:02}")


def _count(rng: random.Random) -> Question:
    word = "".join(rng.choices("abc", k=8))
    letter = rng.choice("abc")
    return Question(f"count {letter} {word}", str(word.count(letter)))


def _parity(rng: random.Random) -> Question:
    bits = "".join(rng.choices("01", k=rng.randrange(3, 9)))
    return Question(f"parity {bits}", "odd" if bits.count("1") % 2 else "even")


TASKS: dict[str, Callable[[random.Random], Question]] = {
    "copy": _copy,
    "reverse": _reverse,
    "sort": _sort,
    "count": _count,
    "add": _add,
    "parity": _parity,
}


def ask(task: str, rng: random.Random, *, held_out: bool) -> Question:
    """Return a question of *task* from the side that is asked for."""
    while True:
        question = TASKS[task](rng)
        if question.held_out() is held_out:
            return question


def exam(task: str, count: int) -> list[Question]:
    """Return *count* held-out questions of *task*, none of them twice, always the same ones.

    There are fewer where the task has fewer.
    """
    rng = random.Random(f"exam {task}")
    found: dict[str, Question] = {}
    for _ in range(20 * count):
        question = ask(task, rng, held_out=True)
        found.setdefault(question.prompt, question)
        if len(found) == count:
            break
    return list(found.values())


def exam_rows(questions: list[Question]) -> tuple[Tensor, Tensor]:
    """Return inputs and targets, one question a row; only answers are targets."""
    longest = max(len(q.prompt_tokens()) + len(q.answer_tokens()) for q in questions) - 1
    inputs = torch.full((len(questions), longest), ASSISTANT_END)
    targets = torch.full((len(questions), longest), IGNORE)
    for row, question in enumerate(questions):
        prompt, answer = question.prompt_tokens(), question.answer_tokens()
        tokens = torch.tensor(prompt + answer)
        inputs[row, : len(tokens) - 1] = tokens[:-1]
        targets[row, len(prompt) - 1 : len(tokens) - 1] = tokens[len(prompt) :]
    return inputs, targets


def dialogue_rows(
    rng: random.Random, rows: int, length: int, *, answers_only: bool
) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of rows packed with training questions and their answers."""
    packed = torch.empty((rows, length + 1), dtype=torch.long)
    learned = torch.full((rows, length + 1), not answers_only)
    for row in range(rows):
        tokens: list[int] = []
        while len(tokens) <= length:
            question = ask(rng.choice(list(TASKS)), rng, held_out=False)
            tokens += question.prompt_tokens()
            start = len(tokens)
            tokens += question.answer_tokens()
            learned[row, start : len(tokens)] = True
        packed[row] = torch.tensor(tokens[: length + 1])
    return packed[:, :-1], packed[:, 1:].masked_fill(~learned[:, 1:], IGNORE)


def text_sides() -> tuple[Tensor, Tensor]:
    """Return the manual as tokens, (training, held out).

    Every tenth topic is held out. Topics quote each other: a paragraph is kept where it comes
    first, held-out topics before all others, so that none is on both sides.
    """
    from pydoc_data.topics import topics  # noqa: PLC0415  half a megabyte

    names = sorted(topics)
    held = names[::10]
    seen: set[str] = set()
    sides: list[Tensor] = []
    for side in (held, [name for name in names if name not in held]):
        tokens: list[int] = []
        for name in side:
            fresh = []
            for paragraph in topics[name].split("\n\n"):
                if paragraph.strip() not in seen:
                    seen.add(paragraph.strip())
                    fresh.append(paragraph)
            tokens += [BOS, *"\n\n".join(fresh).encode()]
        sides.append(torch.tensor(tokens))
    return sides[1], sides[0]


def text_rows(text: Tensor, rng: random.Random, rows: int, length: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of rows cut from random places of *text*."""
    starts = [rng.randrange(len(text) - length) for _ in range(rows)]
    cut = torch.stack([text[start : start + length + 1] for start in starts])
    return cut[:, :-1], cut[:, 1:]
