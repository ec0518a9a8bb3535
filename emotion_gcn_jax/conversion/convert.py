"""Official checkpoints and published weights of trunks to checkpoints of ours, and ours to official state dicts.

A converted checkpoint is one that evaluate, predict and training take. Its meta says in `origin` what file it is from,
that file's SHA-256, the licence of published weights, and the order that its classes had.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from emotion_gcn_jax import checkpoints, labels, model_file, presets
from emotion_gcn_jax.conversion import names, recognition
from emotion_gcn_jax.conversion.families import FAMILIES
from emotion_gcn_jax.conversion.recognition import Recognised
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.files import PathLike, user_path
from emotion_gcn_jax.graph import word_vectors
from emotion_gcn_jax.models.emotion_net import TRUNKS
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.tasks.registry import Tasks
from emotion_gcn_jax.torch_files import parts, writing
from emotion_gcn_jax.trees import Tree

OFFICIAL_LICENCE = "GPL-3.0, if these are the weights published with the official implementation of Emotion-GCN"
UNKNOWN_LICENCE = "unknown: ask those who trained it"

# The image sides of the official models (Emotion-GCN spec, section 5).
_SMALL_SIDE, _LARGE_SIDE = 112, 227


def from_official(
    weights: PathLike,
    output: PathLike,
    *,
    trunk: str | None = None,
    model: str | None = None,
    vectors: PathLike | None = None,
    label_order: str | None = None,
) -> str:
    """Turns an official checkpoint, or a bare state dict with official names, into a checkpoint of ours.

    A graph model keeps the adjacency of the file. With another order than ours its nodes change places together with
    their edges and their word vectors, so that the outputs come in our order and are otherwise the same. Which word
    stood at which node of such a model is unknown: the word vectors are taken as the official loader takes them, the
    i-th for the file's i-th node.

    Args:
        weights: the file, PyTorch's or safetensors.
        output: the new checkpoint's folder.
        trunk: a key of TRUNKS, such as "densenet121"; None goes by the tensors' names.
        model: "single_task", "multi_task" or "emotion_gcn"; likewise.
        vectors: a graph model's word vectors, see graph.word_vectors.node_vectors; None takes the embedded ones, where
            they are as wide as the model wants.
        label_order: the order of the file's classes, see labels.class_order; None is AffectNet's, and FER2013's of a
            Deep-Emotion.

    Returns:
        What was done, for the user.

    Raises:
        UserError: a file cannot be read, its tensors are not those of such a model, or `output` exists. Nothing is
            written then.
    """
    checkpoints.check_new(output)
    found = recognition.official(weights, trunk, model)
    label_order = label_order or ("fer2013" if _own_input(found.trunk) else "affectnet")
    file_words = labels.class_order(label_order, names.class_count(found.tensors, found.expected))
    words = labels.in_usual_order(file_words)
    file_rows = [file_words.index(word) for word in words]
    tensors = names.permuted_classes(found.tensors, found.expected, file_rows)
    variables, extras = names.to_variables(tensors, found.expected)
    if found.model == "emotion_gcn":
        nodes = (*words, *names.VALUES)
        vectors_NxF = _word_vectors(vectors, names.word_vector_width(tensors), nodes)
        variables["constants"]["head"]["word_vectors"] = vectors_NxF[_with_values(file_rows)]
    elif vectors:
        raise UserError(f"{weights} holds a {found.model}, which has no graph: leave --word-vectors out.")
    licence = UNKNOWN_LICENCE if _own_input(found.trunk) else OFFICIAL_LICENCE
    origin = _origin(weights, licence) | {"label_order": label_order, "file_rows": file_rows}
    meta = _meta(found, words, label_order, origin)
    checkpoints.write(output, variables, meta, extras)
    moved = ", ".join(f"row {row} to {i}" for i, row in enumerate(file_rows) if row != i)
    return "\n".join(
        [
            *_report(f"{weights}: {found.model} on {found.trunk}", variables, origin, found.left_out),
            f"the file does not say what it was trained on, so it is taken for {_taken_for(meta)}",
            f"classes in the file: {', '.join(file_words)} (--label-order names another order)",
            *([f"classes put into our order, {', '.join(words)}: {moved}"] if moved else []),
            f"checkpoint: {output}",
        ]
    )


def from_published(weights: PathLike, output: PathLike, option: str, *, trunk: str | None = None) -> str:
    """Turns published weights of ImageNet or of faces into trunk weights, for `--config.init.trunk`.

    What follows the trunk and is no classifier is kept, as hidden layers: VGG-Face's fc6 and fc7. Where the first
    layer's images began with blue, its channels are put into our order.

    Args:
        weights: the file; its classifier is ignored.
        output: the new checkpoint's folder; no model can be loaded from it, since it has no head. Its meta has the
            images that the weights learnt from.
        option: "--imagenet" or "--faces", see families.FAMILIES.
        trunk: a key of TRUNKS; None goes by the tensors' names.

    Returns:
        What was done, for the user.

    Raises:
        UserError: as `from_official`.
    """
    checkpoints.check_new(output)
    found = recognition.published(weights, option, trunk)
    family = FAMILIES[found.family]
    variables, _ = names.to_variables(found.tensors, found.expected)
    origin = _origin(weights, family.licence) | {"family": found.family}
    hidden = [found.tensors[f"{layer}.bias"].size for layer in family.fully_connected]
    model = {"trunk": found.trunk} | ({"readout": "flatten", "hidden": hidden} if hidden else {})
    meta = {"config": {"model": model}, "input": family.input.to_dict(), "origin": origin}
    checkpoints.write(output, variables, meta)
    mean, deviation = (
        [round(255 * number, 4) for number in numbers] for numbers in (family.input.mean, family.input.deviation)
    )
    report = _report(f"{weights}: {family.title}, {found.trunk}", variables, origin, found.left_out)
    return "\n".join(
        [
            *report,
            f"images: pixels of 0 to 255, red first, less {mean} and divided by {deviation}",
            *(["the file's first layer takes blue first: its channels were turned round"] if family.is_bgr else []),
            f"trunk weights: {output}",
        ]
    )


def to_torch(checkpoint: PathLike, output: PathLike) -> str:
    """Writes a checkpoint's model as a state dict with the official names, classes in the order that they came in.

    A graph model's word vectors are in no official state dict: they are written beside it, as STEM_emb.pkl.

    Args:
        checkpoint: a run's working directory (its best checkpoint) or one checkpoint's folder.
        output: the file to write: in safetensors' format if it ends so, else in torch's.

    Returns:
        What was done, for the user.

    Raises:
        UserError: there is no checkpoint, it is no model that the official layout can hold, or a file cannot be written
            or exists.
    """
    output = user_path(output)
    beside = output.with_name(f"{output.stem}_emb.pkl")
    for path in (output, beside):
        checkpoints.check_new(path)
    read = checkpoints.read(checkpoint)
    if "head" not in read.variables["params"]:
        raise UserError(f"{checkpoint} holds the weights of a trunk alone, and no model that could be written.")
    with model_file.description(checkpoint):
        model = _official_layout(checkpoint, read)
    writing.save(output, model.tensors)
    lines = [
        f"{checkpoint}: {model.name}, {len(model.tensors)} tensors",
        f"classes in the file: {', '.join(model.classes)}",
        f"state dict: {output}",
    ]
    if model.vectors_NxF is not None:
        writing.save(beside, model.vectors_NxF)
        lines.append(f"word vectors: {beside}")
    return "\n".join(lines)


class _Official(NamedTuple):
    """A model as the official layout has it: its name, its tensors, its classes in the file's order, word vectors."""

    name: str
    tensors: dict[str, np.ndarray]
    classes: Sequence[str]
    vectors_NxF: np.ndarray | None


def _official_layout(checkpoint: PathLike, read: checkpoints.Checkpoint) -> _Official:
    tasks = registry.from_dicts(read.meta["tasks"])
    trunk, model = read.meta["config"]["model"]["trunk"], _official_model(checkpoint, read.meta["config"], tasks)
    words = tasks[0].outputs
    graph = read.variables["constants"].get("head")
    expected = names.official_tensors(
        trunk,
        model,
        word_vector_width=graph["word_vectors"].shape[1] if graph else 0,
        num_classes=len(words),
        channels=read.meta["input"]["channels"],
    )
    tensors = names.to_state_dict(read.variables, read.extras, expected)
    tensors = {tensor.name: tensors[tensor.name].astype(tensor.dtype) for tensor in expected}
    file_rows = read.meta.get("origin", {}).get("file_rows", range(len(words)))
    our_rows = np.argsort(file_rows).tolist()  # the one that belongs into each row of the file
    return _Official(
        f"{model} on {trunk}",
        names.permuted_classes(tensors, expected, our_rows),
        [words[row] for row in our_rows],
        np.asarray(graph["word_vectors"], np.float32)[_with_values(our_rows)] if graph else None,
    )


def _official_model(checkpoint: PathLike, config: Mapping[str, Any], tasks: Tasks) -> str:
    """The official model that a checkpoint's is; raises UserError if it is none, or would give other answers there."""
    trunk, head, readout = (config["model"][field] for field in ("trunk", "head", "readout"))
    if config["model"]["hearing"]:
        raise UserError(
            f"{checkpoint} hears, and the official layout has images alone: it cannot be written for PyTorch."
        )
    if not hasattr(TRUNKS[trunk](), "torch_names"):
        raise UserError(f"{checkpoint} is on {trunk}, which has no names in PyTorch: such a model cannot be written.")
    ours = tuple(task.name for task in tasks), head
    known = {model: presets.preset(model) for model in names.OFFICIAL_MODELS}
    model = next((model for model, preset in known.items() if (preset.tasks, preset.head) == ours), None)
    if model is None or not tasks[0].exclusive or any(task.outputs != names.VALUES for task in tasks[1:]):
        raise UserError(
            f"{checkpoint} predicts {', '.join(ours[0])} by the head {head}, and the official layout holds the classes "
            f"of expression and, always with a graph, the affect of {' and '.join(names.VALUES)}: such a model cannot "
            f"be written for PyTorch."
        )
    model_config = config["model"]
    if tasks[0].takes_cosines or any(model_config[part] for part in ("hidden", "embedding", "recurrent")):
        raise UserError(
            f"{checkpoint} has cosines (the loss arcface), hidden or recurrent layers or an embedding, and the "
            f"official layout has one linear layer a task: such a model cannot be written for PyTorch."
        )
    propagation = config["graph"]["propagation"] if head == "graph" else "transposed"
    if (readout, propagation) != (presets.readout(trunk, model), "transposed"):
        raise UserError(
            f"{checkpoint} has config.model.readout={readout} and config.graph.propagation={propagation}, and the "
            f"official {model} has {presets.readout(trunk, model)} and transposed: with these weights it would give "
            f"other answers."
        )
    return model


def _with_values(class_rows: Sequence[int]) -> list[int]:
    """The rows of all nodes: those of the classes in another order, then those of valence and arousal."""
    return [*class_rows, *range(len(class_rows), len(class_rows) + len(names.VALUES))]


def _word_vectors(path: PathLike | None, width: int, nodes: Sequence[str]) -> np.ndarray:
    vectors_NxF = word_vectors.node_vectors(path, {node: labels.node_words(node) for node in nodes})
    if vectors_NxF.shape[1] != width:
        held = f"{path} has {vectors_NxF.shape[1]}" if path else f"the embedded ones have {vectors_NxF.shape[1]}"
        raise UserError(
            f"The model wants word vectors of {width} numbers, {held}: give those that it was trained with by "
            f"--word-vectors, the official emb.pkl or a GloVe text file such as glove.6B.{width}d.txt."
        )
    return vectors_NxF


def _origin(path: PathLike, licence: str) -> dict[str, Any]:
    """Of a file in parts the checksum is of all, one after the other."""
    digest = hashlib.sha256()
    for part in parts.files(path):
        with part.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return {"file": user_path(path).name, "sha256": digest.hexdigest(), "licence": licence}


def _meta(found: Recognised, words: Sequence[str], label_order: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """What the training loop writes, as far as it is known of a model trained elsewhere (see configs/common.py)."""
    dataset, build, inputs, crop = _own_input(found.trunk) or _official_input(found.trunk, label_order)
    preset = presets.preset(found.model)
    tasks = {name: dict(presets.TASKS[name]) for name in preset.tasks}
    tasks["expression"]["vocabulary"] = ",".join(words)
    return {
        "config": {
            # AffectNet's None, Uncertain and Non-Face have valence and arousal, and no official model saw them.
            "dataset": {
                "name": dataset,
                "config": build,
                "require": "expression" if dataset == "affectnet" else "none",
            },
            "input": inputs.to_dict(),
            "data": {"eval_batch_size": 64, "threads": 4},
            "clip": {"length": 1, "min_present": 0.75},
            "model": {
                "trunk": found.trunk,
                "readout": presets.readout(found.trunk, found.model),
                "hidden": list(preset.hidden),
                "dropout": preset.dropout,
                "embedding": preset.embedding,
                "recurrent": list(preset.recurrent),
                "reset": "after",
                "bidirectional": False,
                "hearing": preset.hearing,
                "hearing_width": 512,
                "fusion": "concat",
                "head": preset.head,
                "dtype": "float32",
                "remat": False,
            },
            "tasks": tasks,
            "graph": {"propagation": "transposed"},
        },
        "tasks": registry.to_dicts(registry.from_config(tasks)),
        "input": inputs.to_dict(),
        "crop": crop.to_dict() if crop else None,
        "dataset": dataset,
        "validation": {},
        "origin": origin,
    }


class _Trained(NamedTuple):
    """What a model is taken to have been trained on: a dataset, its builder's config, its images, how they are cut."""

    dataset: str
    build: str
    inputs: Input
    crop: Crop | None


def _official_input(trunk: str, label_order: str) -> _Trained:
    """The official models' (Emotion-GCN spec, section 5)."""
    if label_order == "affwild2":
        return _Trained("affwild2", "expr_va", Input(_SMALL_SIDE), Crop(side=1.05, size=_SMALL_SIDE, enlarge=True))
    small = trunk.startswith("bregnext")
    side, build = (_SMALL_SIDE, "csv_official_112") if small else (_LARGE_SIDE, "csv_official")
    # AffectNet's official crops are described by what comes nearest to them, as the builder's csv_official does.
    return _Trained("affectnet", build, Input(side), Crop(side=1.0, size=side, enlarge=True))


def _own_input(trunk: str) -> _Trained | None:
    """That of a trunk which takes one kind of image only: FER2013's pixels over 255 (Deep-Emotion spec, 9.2)."""
    if not (fixed := getattr(TRUNKS[trunk](), "INPUT", None)):
        return None
    side, channels = fixed
    return _Trained("fer2013", "", Input(side, channels, mean=(0.0,) * channels, deviation=(1.0,) * channels), None)


def _taken_for(meta: Mapping[str, Any]) -> str:
    side, dataset, build = meta["input"]["side"], meta["dataset"], meta["config"]["dataset"]["config"]
    if build:
        return f"an official model: {side} pixels, faces cut as {dataset}'s by the builder config {build}"
    return f"one of {dataset}'s images: {side} pixels, divided by 255"


def _report(what: str, variables: Tree, origin: Mapping[str, Any], left_out: Sequence[str]) -> list[str]:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    return [
        f"{what}, {parameters:,} parameters",
        f"sha256: {origin['sha256']}",
        f"licence: {origin['licence']}",
        *([f"left out: {listed(left_out)}"] if left_out else []),
    ]
