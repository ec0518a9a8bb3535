"""Official checkpoints and torchvision's ImageNet weights to checkpoints of ours, and ours to official state dicts.

A converted checkpoint is one that evaluate, predict and training take. Its meta says in `origin` what file it is from,
that file's SHA-256, the licence of published weights, and the order that its classes had.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from emotion_gcn_jax import checkpoints, labels, presets
from emotion_gcn_jax.conversion import names, state_dicts
from emotion_gcn_jax.conversion.names import TorchTensor
from emotion_gcn_jax.data.inputs import Input
from emotion_gcn_jax.errors import UserError, listed
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.files import PathLike, user_path
from emotion_gcn_jax.graph import word_vectors
from emotion_gcn_jax.models.emotion_net import TRUNKS
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.torch_files import writing

OFFICIAL_LICENCE = "GPL-3.0, if these are the weights published with the official implementation of Emotion-GCN"
IMAGENET_LICENCE = "BSD-3-Clause, torchvision's"

# The image sides of the official models (Emotion-GCN spec, section 5).
_SMALL_SIDE, _LARGE_SIDE = 112, 227
_LEAST_LIKENESS = 0.5  # of two sets of names, the share that they have in common: less is another model
_CLASSIFIERS = ("classifier.", "fc.")  # torchvision's, of a thousand classes
_MOST_CLASSES = 64  # more rows than these are no expressions: ImageNet's classifier has a thousand


@dataclasses.dataclass(frozen=True)
class _Found:
    """A state dict that was recognised.

    Attributes:
        trunk: a key of TRUNKS.
        model: one of names.OFFICIAL_MODELS.
        tensors: the file's, under the model's names.
        left_out: what the file had besides.
        classes: the number of its classes.
        width: of its graph's word vectors.
    """

    trunk: str
    model: str
    tensors: Mapping[str, np.ndarray]
    left_out: tuple[str, ...]
    classes: int
    width: int


def from_official(
    weights: PathLike,
    output: PathLike,
    *,
    trunk: str | None = None,
    model: str | None = None,
    vectors: PathLike | None = None,
    label_order: str = "affectnet",
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
        label_order: the order of the file's classes, see labels.class_order.

    Returns:
        What was done, for the user.

    Raises:
        UserError: a file cannot be read, its tensors are not those of such a model, or `output` exists. Nothing is
            written then.
    """
    checkpoints.check_new(output)
    found = _recognised(weights, trunk, model)
    file_words = labels.class_order(label_order, found.classes)
    words = labels.in_usual_order(file_words)
    order = [file_words.index(word) for word in words]
    expected = names.official_tensors(
        found.trunk, found.model, word_vector_width=found.width, num_classes=found.classes
    )
    tensors = _checked(weights, found.tensors, expected)
    variables, extras = names.to_variables(names.permuted_classes(tensors, expected, order), expected)
    if found.model == "emotion_gcn":
        vectors_NxF = _word_vectors(vectors, found.width, (*words, "Valence", "Arousal"))
        places = [*order, *range(len(order), len(vectors_NxF))]  # the i-th is of the file's i-th node
        variables["constants"]["head"]["word_vectors"] = vectors_NxF[places]
    elif vectors:
        raise UserError(f"{weights} holds a {found.model}, which has no graph: leave --word-vectors out.")
    origin = _origin(weights, OFFICIAL_LICENCE) | {"label_order": label_order, "file_rows": order}
    meta = _meta(found, words, label_order, origin)
    checkpoints.write(output, variables, meta, extras)
    lines = _report(f"{weights}: {found.model} on {found.trunk}", variables, origin, found.left_out)
    lines.append(
        f"the file does not say what it was trained on, so it is taken for an official model: {meta['input']['side']} "
        f"pixels, faces cut as {meta['dataset']}'s by the builder config {meta['config']['dataset']['config']}"
    )
    lines.append(f"classes in the file: {', '.join(file_words)} (--label-order names another order)")
    if moved := ", ".join(f"row {row} to {i}" for i, row in enumerate(order) if row != i):
        lines.append(f"classes put into our order, {', '.join(words)}: {moved}")
    return "\n".join([*lines, f"checkpoint: {output}"])


def from_imagenet(weights: PathLike, output: PathLike, *, trunk: str | None = None) -> str:
    """Turns torchvision's weights of ImageNet into trunk weights, for `--config.init.trunk`.

    Args:
        weights: the file, with the present or the older names; its classifier is ignored.
        output: the new checkpoint's folder; no model can be loaded from it, since it has no head.
        trunk: a key of TRUNKS; None goes by the tensors' names.

    Returns:
        What was done, for the user.

    Raises:
        UserError: as `from_official`.
    """
    checkpoints.check_new(output)
    tensors = state_dicts.read(weights)
    trunks = [name for name in TRUNKS if "torchvision" in TRUNKS[name]().FAMILIES and not name.endswith("_tiny")]
    if trunk is not None and trunk not in trunks:
        raise UserError(f"torchvision has no weights of {trunk!r}: choose --trunk from {', '.join(trunks)}.")
    expected_of = {name: names.trunk_tensors(name) for name in ([trunk] if trunk else trunks)}
    matched = {name: state_dicts.matched(tensors, {t.name for t in ts}) for name, ts in expected_of.items()}
    best = max(matched, key=lambda name: _likeness(set(matched[name].tensors), {t.name for t in expected_of[name]}))
    kept = {n: t for n, t in matched[best].tensors.items() if not n.startswith(_CLASSIFIERS)}
    variables, _ = names.to_variables(_checked(weights, kept, expected_of[best]), expected_of[best])
    origin = _origin(weights, IMAGENET_LICENCE)
    checkpoints.write(output, variables, {"config": {"model": {"trunk": best}}, "origin": origin})
    left_out = [name for name in matched[best].left_out if not name.startswith(_CLASSIFIERS)]
    return "\n".join([*_report(f"{weights}: {best}", variables, origin, left_out), f"trunk weights: {output}"])


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
    model = _official_model(checkpoint, read.meta)
    config, constants = read.meta["config"], read.variables["constants"].get("head")
    classes = len(registry.from_dicts(read.meta["tasks"])[0].outputs)
    expected = names.official_tensors(
        config["model"]["trunk"],
        model,
        word_vector_width=constants["word_vectors"].shape[1] if constants else 0,
        num_classes=classes,
        channels=read.meta["input"]["channels"],
    )
    tensors = names.to_state_dict(read.variables, read.extras, expected)
    tensors = {t.name: tensors[t.name].astype(t.dtype) for t in expected}
    order = np.argsort(read.meta.get("origin", {}).get("file_rows", range(classes))).tolist()
    writing.save(output, names.permuted_classes(tensors, expected, order))
    lines = [f"{checkpoint}: {model} on {config['model']['trunk']}, {len(tensors)} tensors", f"state dict: {output}"]
    if constants:
        vectors_NxF = np.asarray(constants["word_vectors"], np.float32)
        writing.save(beside, vectors_NxF[[*order, *range(len(order), len(vectors_NxF))]])
        lines.append(f"word vectors: {beside}")
    return "\n".join(lines)


def _recognised(path: PathLike, trunk: str | None, model: str | None) -> _Found:
    """The state dict of a file as that of the official model whose names it has, as nearly as any."""
    tensors = state_dicts.read(path)
    for what, name, known in (("trunk", trunk, tuple(TRUNKS)), ("model", model, names.OFFICIAL_MODELS)):
        if name is not None and name not in known:
            raise UserError(f"Unknown --{what} {name!r}: choose one of {', '.join(known)}.")
    trunks = (trunk,) if trunk else tuple(name for name in TRUNKS if not name.endswith("_tiny"))
    candidates = [(t, m) for t in trunks for m in ((model,) if model else names.OFFICIAL_MODELS)]

    def likeness(candidate: tuple[str, str]) -> float:
        wanted = names.layer_names(*candidate)
        found = state_dicts.matched(tensors, {f"{layer}.{leaf}" for layer in wanted for leaf in names.TORCH_LEAVES})
        return _likeness({name.rpartition(".")[0] for name in found.tensors} - {""}, wanted)

    best = candidates[0] if len(candidates) == 1 else max(candidates, key=likeness)
    if len(candidates) > 1 and likeness(best) <= _LEAST_LIKENESS:
        raise UserError(
            f"{path} is no official Emotion-GCN model: it has {len(tensors)} tensors such as {listed(tensors, 3)}; "
            f"name --trunk and --model to be told what differs from one."
        )
    first = {t.name for t in names.official_tensors(*best)}
    matched = state_dicts.matched(tensors, first)
    layer = matched.tensors.get("gc1.weight")
    width = layer.shape[0] if layer is not None and layer.ndim == 2 else 300
    return _Found(*best, matched.tensors, matched.left_out, _class_count(best, matched.tensors), width)


def _class_count(candidate: tuple[str, str], tensors: Mapping[str, np.ndarray]) -> int:
    """How many classes a state dict has; 7, the official number, if it does not tell."""
    expected = names.official_tensors(*candidate)
    name = next(t.name for t in expected if t.classes)
    rows = tensors[name].shape[0] if name in tensors and tensors[name].ndim else 7
    count = rows - names.VALUES if name == "A" else rows
    return count if 1 < count <= _MOST_CLASSES else len(labels.EXPRESSIONS)


def _likeness(found: set[str], wanted: set[str]) -> float:
    return len(found & wanted) / max(len(found | wanted), 1)


def _checked(path: PathLike, tensors: Mapping[str, Any], expected: Sequence[TorchTensor]) -> dict[str, np.ndarray]:
    """The tensors in the official types, if they are those of the model."""
    if problems := names.problems(tensors, expected):
        classifier = tensors.get("classifier.weight")
        is_imagenet = isinstance(classifier, np.ndarray) and classifier.shape[:1] == (1000,)
        hint = "; it seems to be torchvision's ImageNet file: add --imagenet" if is_imagenet else ""
        raise UserError(f"{path} does not fit, and nothing was written: {'; '.join(problems)}{hint}.")
    return {t.name: tensors[t.name].astype(t.dtype) for t in expected if t.name in tensors}


def _official_model(checkpoint: PathLike, meta: Mapping[str, Any]) -> str:
    """The name of a checkpoint's model in the official layout, if there is one."""
    config, tasks = meta["config"], registry.from_dicts(meta["tasks"])
    kinds = tuple((task.name, task.kind) for task in tasks)
    paper = (("expression", "classes"), ("affect", "values"))
    if kinds not in (paper, paper[:1]) or (len(kinds) > 1 and len(tasks[1].outputs) != names.VALUES):
        raise UserError(
            f"{checkpoint} predicts {', '.join(name for name, _ in kinds)}, and the official layout holds expression, "
            f"or expression and affect: such a model cannot be written for PyTorch."
        )
    if not hasattr(TRUNKS[config["model"]["trunk"]](), "torch_names"):
        raise UserError(f"{checkpoint} is on {config['model']['trunk']}, which has no PyTorch names (torch_names).")
    if config["model"]["head"] == "linear":
        return "single_task" if len(kinds) == 1 else "multi_task"
    if config["graph"]["propagation"] != "transposed" or len(kinds) == 1:
        raise UserError(
            f"{checkpoint} has a graph that the official code does not know (propagated by rows, or without affect): "
            f"with these weights it would give other answers."
        )
    return "emotion_gcn"


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
    with user_path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": user_path(path).name, "sha256": digest, "licence": licence}


def _meta(found: _Found, words: tuple[str, ...], label_order: str, origin: dict[str, Any]) -> dict[str, Any]:
    """What the training loop writes, as far as it is known of a model trained elsewhere (see configs/common.py)."""
    dataset = "affwild2" if label_order == "affwild2" else "affectnet"
    large = dataset == "affectnet" and not found.trunk.startswith("bregnext")
    side = _LARGE_SIDE if large else _SMALL_SIDE
    # AffectNet's official crops are described by what comes nearest to them, as the builder's csv_official does.
    crop = Crop(side=1.0 if dataset == "affectnet" else 1.05, size=side, enlarge=True)
    builds = {"affectnet": "csv_official" if large else "csv_official_112", "affwild2": "expr_va"}
    preset = presets.preset(found.model)
    tasks = {name: dict(presets.TASKS[name]) for name in preset.tasks}
    tasks["expression"]["vocabulary"] = ",".join(words)
    inputs = Input(side).to_dict()
    return {
        "config": {
            # AffectNet's None, Uncertain and Non-Face have valence and arousal, and no official model saw them.
            "dataset": {
                "name": dataset,
                "config": builds[dataset],
                "require": "expression" if dataset == "affectnet" else "none",
            },
            "input": inputs,
            "data": {"eval_batch_size": 64, "threads": 4},
            "model": {
                "trunk": found.trunk,
                "readout": presets.readout(found.trunk, found.model),
                "head": preset.head,
                "dtype": "float32",
                "remat": False,
            },
            "tasks": tasks,
            "graph": {"propagation": "transposed"},
        },
        "tasks": registry.to_dicts(registry.from_config(tasks)),
        "input": inputs,
        "crop": crop.to_dict(),
        "dataset": dataset,
        "validation": {},
        "origin": origin,
    }


def _report(what: str, variables: dict[str, Any], origin: dict[str, Any], left_out: Sequence[str]) -> list[str]:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    lines = [f"{what}, {parameters:,} parameters", f"sha256: {origin['sha256']}", f"licence: {origin['licence']}"]
    return [*lines, *([f"left out: {listed(left_out)}"] if left_out else [])]
