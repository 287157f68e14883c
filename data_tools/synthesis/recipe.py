"""What a recipe is: a generator over one seed document, that yields what it asks and returns the documents it made.

    def write(self, seed):
        answers = yield [self.prompt.ask(self.sampling, document=seed.text)]
        return [Draft.of(answer) for answer in answers]

It may yield again, with prompts made of the answers. It must depend on nothing but the seed and the answers: after an
interruption it is run again from its beginning, with the answers that are already there.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Any, ClassVar, Protocol, Self

from data_tools.errors import InputError
from data_tools.files import text_hash
from data_tools.synthesis.requests import Answer, Ask, Sampling
from data_tools.text.tokenizer import Tokenizer

PROMPTS = Path(__file__).parent / "recipes" / "prompts"

BEGINNING = 40
"""Characters of a template that are shown where it is wrong."""

Steps = Generator[list[Ask], list[Answer], "list[Draft]"]
"""What `write` returns: yields what it asks, is sent the answers in the same order, returns documents."""


@dataclass(frozen=True)
class Seed:
    """A document of the corpus that synthesis starts from."""

    number: int
    """In the corpus."""
    name: str
    ids: tuple[int, ...]
    """Its tokens, the end token among them."""
    draw: int
    """Which of the draws it is, for recipes that draw their seeds; else 0."""
    tokenizer: Tokenizer

    @cached_property
    def text(self) -> str:
        return self.tokenizer.decode(self.ids[:-1])

    @cached_property
    def hash(self) -> str:
        """Of the text."""
        return text_hash(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A document that a recipe made of answers; filters may still drop it."""

    text: str
    truncated: bool = False
    """Whether the model was cut at the length limit while it wrote this."""
    position: int = 0
    """Tokens of the seed document before it, for thoughts."""
    fault: str = ""
    """Why it is no document ("malformed"): it is dropped and counted under this name."""

    @classmethod
    def of(cls, answer: Answer, text: str | None = None, *, position: int = 0, fault: str = "") -> Self:
        """The document that an answer is, or the `text` that was made of it; none if the engine refused the prompt."""
        if answer.finish == "refused":
            return cls(text=answer.text, position=position, fault="refused")
        written = answer.text if text is None else text
        return cls(text=written, truncated=answer.finish == "length", position=position, fault=fault)


class Recipe(Protocol):
    """A frozen dataclass; its fields are the recipe's settings and are written to the manifest."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Counted up when the recipe asks otherwise."""
    kind: ClassVar[str]
    """Of its documents: one of `groups.KINDS`."""
    draws: ClassVar[bool]
    """Whether seeds are drawn with replacement; otherwise each document is taken once."""

    def write(self, seed: Seed) -> Steps: ...


@dataclass(frozen=True)
class Prompt:
    """A template: text with `$document` and other names in it, of a file that a user may copy and edit."""

    text: str

    @classmethod
    def of(cls, file: Path | str) -> Self:
        """From a file, or by the name of one that comes with the program ("rephrase-wikipedia").

        Raises:
            InputError: there is no such file, or its placeholders can't be read.
        """
        path = Path(file)
        packaged = PROMPTS / f"{file}.txt"
        path = packaged if not path.is_file() and packaged.is_file() else path
        try:
            prompt = cls(path.read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                where=str(path), found=f"no template that can be read ({error})",
                expected="a text file, or one of " + ", ".join(sorted(known.stem for known in PROMPTS.glob("*.txt"))),
                fix="Correct the path.",
            ) from None  # fmt: skip
        if not Template(prompt.text).is_valid():
            raise InputError(
                where=str(path), found="a $ that begins no placeholder", expected="$document, or $$ for the sign",
                fix="Write the sign as $$.",
            )  # fmt: skip
        return prompt

    @property
    def hash(self) -> str:
        return text_hash(self.text)

    @property
    def names(self) -> list[str]:
        """Of the placeholders."""
        return Template(self.text).get_identifiers()

    def needs(self, *names: str, may: Sequence[str] = ()) -> Self:
        """Itself, if it has all of these placeholders, and no others but those that it `may` have.

        Raises:
            InputError: it hasn't.
        """
        if not set(names) <= set(self.names) <= {*names, *may}:
            expected = ", ".join(f"${name}" for name in names)
            raise InputError(
                where=f"the template that begins {self.text.strip()[:BEGINNING]!r}",
                found=", ".join(f"${name}" for name in self.names) or "no placeholder",
                expected=expected + (f"; and, if you like, {', '.join(f'${name}' for name in may)}" if may else ""),
                fix="Correct the template; `megatron-ext synth templates` writes out those that come with the program.",
            )  # fmt: skip
        return self

    def fill(self, **values: Any) -> str:
        """The text, with its placeholders filled in."""
        return Template(self.text).substitute(values)

    def ask(self, sampling: Sampling, *, index: int = 0, document: str, **about: Any) -> Ask:
        """An ask with the placeholders filled in; `about`: all but the document."""
        prompt = self.fill(document=document, **about)
        return Ask(prompt, self.hash, sampling, index, "\0".join(f"{name}={about[name]}" for name in sorted(about)))


def at_least_one(**settings: int) -> None:
    """Raises an InputError for the first of a recipe's settings that is below 1."""
    for name, value in settings.items():
        if value < 1:
            raise InputError(
                where=f"setting {name} of the recipe", found=str(value), expected="at least 1", fix="Choose another."
            )
