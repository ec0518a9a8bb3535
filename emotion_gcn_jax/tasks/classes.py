"""Classes of which exactly one is true of a face, such as its expression."""

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.labels import NO_CLASS, class_word
from emotion_gcn_jax.tasks import losses
from emotion_gcn_jax.tasks.metrics import ClassMetrics, calibration_error
from emotion_gcn_jax.tasks.task import Columns, Metadata, Task, numbers_text, one_of, positive_numbers

LOSSES = ("cross_entropy", "soft_cross_entropy", "arcface")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classes(Task):
    """A face belongs to one class of a vocabulary. Labels are int32 N, the class's place in it, -1 where there is none.

    The loss also takes shares of the classes, float32 N x C: each row adds up to what is known of an example, 1 or 0.

    Attributes:
        vocabulary: the classes' words in the outputs' order.
        loss_name: "cross_entropy"; "soft_cross_entropy", which learns from the shares of the votes that each class
            got: a column NAME_votes, numbers N x V, whose V words the dataset's metadata has under the same name. Votes
            for other words than the vocabulary's do not count; where there are no votes, the class has them all; or
            "arcface", whose outputs are cosines and which wants the true class's angle smaller by a margin.
        label_smoothing: the share of the target that is spread evenly over all classes, at least 0 and below 1.
        temperature: what the raw outputs are divided by before they become probabilities; emotion-gcn pack fits it.
        class_weights: the loss's weight of every class: "none" (all 1), "inverse_frequency" (of the training labels;
            the rarest class has 1, as Emotion-GCN's 3803 / n on AffectNet), or C positive numbers.
        scale: arcface only, like all that follow: what cosines are multiplied by to be log-probabilities. 10 is enough
            for a few classes (Aff-Wild2 spec, section 7); recognition of thousands of persons has 64 and a margin of
            0.5 (InsightFace).
        margin: in radians, from 0 to pi / 2; probabilities are without.
        margin_variant: "fallback", "easy" or "plain", see losses.cosine_of_larger_angle.
        margin_warmup_epochs: in which the margin rises linearly from 0; 0 for none.
    """

    kind = "classes"
    exclusive = True
    selectable = ("accuracy", "mean_class_accuracy", "macro_f1")
    answers_are = "probabilities, which sum to 1"

    vocabulary: tuple[str, ...]
    loss_name: str = "cross_entropy"
    class_weights: str | tuple[float, ...] = "none"
    label_smoothing: float = 0.0
    temperature: float = 1.0
    scale: float = 10.0
    margin: float = 0.3
    margin_variant: losses.MarginVariant = "fallback"
    margin_warmup_epochs: float = 1.0

    def __post_init__(self) -> None:
        """Raises UserError for an unknown loss or variant, class weights that are none, and numbers out of range."""
        one_of(f"loss of {self.name}", self.loss_name, LOSSES)
        one_of(f"config.tasks.{self.name}.margin_variant", self.margin_variant, losses.MARGIN_VARIANTS)
        for field, is_possible, wanted in (
            ("scale", 0 < self.scale < math.inf, "a positive number, such as 10"),
            ("margin", 0 <= self.margin <= math.pi / 2, "an angle from 0 to pi / 2, such as 0.3"),
            ("margin_warmup_epochs", 0 <= self.margin_warmup_epochs < math.inf, "0 or a positive number, such as 1"),
        ):
            if not is_possible:
                raise UserError(f"config.tasks.{self.name}.{field} must be {wanted}, found {getattr(self, field)}.")
        if not 0 <= self.label_smoothing < 1:
            raise UserError(
                f"config.tasks.{self.name}.label_smoothing must be at least 0 and below 1, such as 0.1, found "
                f"{self.label_smoothing}."
            )
        if isinstance(self.class_weights, str) and self.class_weights not in ("none", "inverse_frequency"):
            numbers = positive_numbers(self.class_weights, len(self.vocabulary))
            if numbers is None:
                raise UserError(
                    f"config.tasks.{self.name}.class_weights must be none, inverse_frequency or {len(self.vocabulary)} "
                    f"positive numbers between commas, found {self.class_weights!r}."
                )
            object.__setattr__(self, "class_weights", numbers)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The vocabulary."""
        return self.vocabulary

    @property
    def takes_cosines(self) -> bool:
        """ArcFace does."""
        return self.loss_name == "arcface"

    def read(self, columns: Columns, metadata: Metadata) -> np.ndarray:
        """Returns the places in this vocabulary of what a dataset stores as places in its own."""
        ids_N, words = self._stored(columns, metadata)
        place_of = np.asarray([self._place(word) for word in words] + [NO_CLASS], np.int32)
        return place_of[np.where(ids_N < 0, len(words), ids_N)]

    def training_labels(self, columns: Columns, metadata: Metadata) -> np.ndarray:
        """Returns the classes or, for soft_cross_entropy, every class's share of the votes.

        An example whose class is not in the vocabulary (Contempt, for seven expressions) has neither.
        """
        classes_N = self.read(columns, metadata)
        votes_NxV, words = columns.get(self._votes), self._vote_words(metadata)
        if self.loss_name != "soft_cross_entropy":
            return classes_N
        shares_NxC = np.eye(len(self.vocabulary) + 1, len(self.vocabulary), dtype=np.float32)[classes_N]
        if votes_NxV is None or not words:
            return shares_NxC
        counted_VxC = np.asarray([[word == name for name in self.vocabulary] for word in words], np.float32)
        counts_NxC = np.nan_to_num(votes_NxV.astype(np.float32)) @ counted_VxC
        totals_Nx1 = counts_NxC.sum(1, keepdims=True)
        is_foreign_N = (self._stored(columns, metadata)[0] >= 0) & (classes_N == NO_CLASS)
        has_votes_Nx1 = (totals_Nx1 > 0) & ~is_foreign_N[:, None]
        return np.where(has_votes_Nx1, counts_NxC / np.maximum(totals_Nx1, 1e-6), shares_NxC).astype(np.float32)

    def unknown_words(self, columns: Columns, metadata: Metadata) -> dict[str, int]:
        """Counts the examples of classes that are not in the vocabulary."""
        ids_N, words = self._stored(columns, metadata)
        counts_W = np.bincount(ids_N[ids_N >= 0], minlength=len(words))
        found = {word: int(counts_W[place]) for place, word in enumerate(words) if word not in self.vocabulary}
        return {word: count for word, count in found.items() if count}

    def check(self, metadata: Metadata, dataset: str) -> None:
        """Raises UserError if the dataset does not know one of the classes, or has no votes where votes are learnt."""
        if self.loss_name == "soft_cross_entropy" and not self._vote_words(metadata):
            raise UserError(
                f"config.tasks.{self.name}.loss=soft_cross_entropy learns from a column {self._votes} and the words of "
                f"its votes, which {dataset} does not have: set it to cross_entropy, or choose another dataset config."
            )
        words = self._words(metadata)
        if words and (missing := [word for word in self.vocabulary if word not in words]):
            raise UserError(
                f"{dataset} has the classes {', '.join(words)}, and config.tasks.{self.name}.vocabulary names "
                f"{', '.join(missing)} as well: set it to classes that the dataset has, such as "
                f"--config.tasks.{self.name}.vocabulary={','.join(words)}."
            )

    def known(self, labels: np.ndarray) -> np.ndarray:
        """A class label speaks of all outputs, and so do the shares of the votes."""
        known_N: Any = labels.any(axis=1) if labels.ndim == 2 else labels != NO_CLASS
        return known_N[:, None].repeat(len(self.vocabulary), axis=1)

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """One-hot rows."""
        one_hot = (labels[:, None] == np.arange(len(self.vocabulary))).astype(np.float64)
        return np.where(self.known(labels), one_hot, np.nan)

    def fitted(self, labels: np.ndarray, dataset: str) -> "Classes":
        """Resolves the class weights; raises UserError if a class that must have one does not occur."""
        if self.class_weights != "inverse_frequency":
            return self
        counts_C = np.bincount(labels[labels != NO_CLASS], minlength=len(self.vocabulary))
        if not counts_C.all():
            missing = self.vocabulary[int(np.argmin(counts_C))]
            raise UserError(
                f"config.tasks.{self.name}.class_weights=inverse_frequency needs every class in the training split, "
                f'{missing} does not occur in {dataset}: give the weights as numbers, "1,1,0.5,...".'
            )
        return dataclasses.replace(self, class_weights=tuple((counts_C.min() / counts_C).tolist()))

    def at(self, epochs: jax.Array) -> "Classes":
        """ArcFace's margin rises while it warms up."""
        if not self.takes_cosines or not self.margin_warmup_epochs:
            return self
        now = copy.copy(self)  # dataclasses.replace would check a number that only the compiled step knows
        object.__setattr__(now, "margin", self.margin * jnp.minimum(epochs / self.margin_warmup_epochs, 1))
        return now

    def loss(self, output_BxW: jax.Array, labels: jax.Array, axis_name: str | None = None) -> jax.Array:
        """Cross-entropy, weighted by the labels' classes; for arcface that of cosines with a margin."""
        numbers = (1.0,) * len(self.vocabulary) if self.class_weights == "none" else self.class_weights
        weights_C = jnp.asarray(numbers, output_BxW.dtype)
        if self.takes_cosines:
            return losses.arcface(
                output_BxW,
                self._shares(labels),
                weights_C,
                scale=self.scale,
                margin=self.margin,
                variant=self.margin_variant,
                smoothing=self.label_smoothing,
                axis_name=axis_name,
            )
        if labels.ndim == 1 and not self.label_smoothing:
            return losses.cross_entropy(output_BxW, labels, weights_C, axis_name)
        shares_BxC = self._shares(labels)
        return losses.soft_cross_entropy(output_BxW, shares_BxC, weights_C, self.label_smoothing, axis_name)

    def mixed(self, labels: jax.Array, others: jax.Array, share: jax.Array) -> jax.Array:
        """Shares of the classes; where one image has no class, the other's share alone is known."""
        return share * self._shares(labels) + (1 - share) * self._shares(others)

    def answer(self, output_BxW: jax.Array) -> jax.Array:
        """The classes' probabilities; each row sums to 1."""
        logits_BxW = self.scale * output_BxW if self.takes_cosines else output_BxW
        return jax.nn.softmax(logits_BxW / self.temperature)

    def decided(self, answers_NxW: np.ndarray) -> np.ndarray:
        """The most probable class is, and no other."""
        return np.eye(len(self.vocabulary), dtype=bool)[answers_NxW.argmax(1)]

    def metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, Any]:
        """accuracy, mean_class_accuracy, macro_f1, calibration_error; tables: per_class, confusion.

        per_class has precision, recall, f1 and support by the word.
        """
        found = self._metrics(labels, answers_NxW)
        per_class = {
            word: {
                "precision": found.precision_C[i],
                "recall": found.recall_C[i],
                "f1": found.f1_C[i],
                "support": found.support_C[i],
            }
            for i, word in enumerate(self.vocabulary)
        }
        confusion = {"label_names": list(self.vocabulary), "matrix": found.confusion_CxC}
        scores = {name: getattr(found, name) for name in self.selectable}
        scores["calibration_error"] = calibration_error(labels, answers_NxW)
        return {**scores, "per_class": per_class, "confusion": confusion}

    def interval_metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, float]:
        """The accuracy."""
        return {"accuracy": self._metrics(labels, answers_NxW).accuracy}

    def csv_columns(self, labels: np.ndarray, answers_NxW: np.ndarray) -> dict[str, list[str]]:
        """The true and the most probable class, and every probability."""
        words = (*self.vocabulary, "")
        return {
            f"{self.name}_true": [words[label] for label in labels.tolist()],
            f"{self.name}_predicted": [words[place] for place in answers_NxW.argmax(1).tolist()],
            **{f"p_{word}": numbers_text(answers_NxW[:, i]) for i, word in enumerate(self.vocabulary)},
        }

    def describe(self, answer_W: np.ndarray) -> dict[str, Any]:
        """The most probable class under the task's name, and every class's probability."""
        return {
            self.name: self.vocabulary[int(np.argmax(answer_W))],
            "probabilities": dict(zip(self.vocabulary, map(float, answer_W), strict=True)),
        }

    def row(self, described: Mapping[str, Any]) -> dict[str, str | float]:
        """The most probable class, and every probability."""
        return {self.name: described[self.name]} | {f"p_{w}": p for w, p in described["probabilities"].items()}

    @property
    def table_columns(self) -> dict[str, int]:
        """The class and its probability."""
        return {self.name: max(map(len, self.vocabulary)), "probability": 4}

    def table_cells(self, described: Mapping[str, Any]) -> list[str]:
        """The class and its probability."""
        word = described[self.name]
        return [word, f"{described['probabilities'][word]:.2f}"]

    def overlay_lines(self, described: Mapping[str, Any]) -> list[tuple[str, float]]:
        """The class and its probability."""
        word = described[self.name]
        return [(f"{word} {described['probabilities'][word]:.0%}", 1.0)]

    def _words(self, metadata: Metadata) -> tuple[str, ...]:
        """The dataset's own vocabulary of this task, in our words; empty if it does not say."""
        stored = metadata.get("label_names" if self.name == "expression" else f"{self.name}_names", ())
        return tuple(class_word(name) for name in stored)

    @property
    def _votes(self) -> str:
        return f"{self.name}_votes"

    def _vote_words(self, metadata: Metadata) -> tuple[str, ...]:
        return tuple(class_word(name) for name in metadata.get(self._votes, ()))

    def _shares(self, labels: jax.Array) -> jax.Array:
        """Shares of the classes, of which a class has its own wholly."""
        return labels if labels.ndim == 2 else jax.nn.one_hot(labels, len(self.vocabulary), dtype=jnp.float32)

    def _place(self, word: str) -> int:
        return self.vocabulary.index(word) if word in self.vocabulary else NO_CLASS

    def _stored(self, columns: Columns, metadata: Metadata) -> tuple[np.ndarray, tuple[str, ...]]:
        words = self._words(metadata)
        missing_N = np.full(len(columns["id"]), NO_CLASS)
        stored_N = columns.get(self.name, missing_N) if words else missing_N
        if stored_N.dtype.kind not in "iu" or (words and stored_N.max(initial=NO_CLASS) >= len(words)):
            raise UserError(
                f"A label of {self.name} is {stored_N.max()}, and the dataset's own classes are 0 to {len(words) - 1} "
                f"({listed(words)}): build it again."
            )
        return stored_N, words

    def _metrics(self, labels: np.ndarray, answers_NxW: np.ndarray) -> ClassMetrics:
        return ClassMetrics.of(labels, answers_NxW.argmax(1), len(self.vocabulary))
