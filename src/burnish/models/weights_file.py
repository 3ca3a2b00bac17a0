"""Weights out of a file of unknown origin, fitted to a net that was built beforehand.

Nothing in a file is executed: torch's own formats are read with ``weights_only=True``, and
safetensors holds nothing but tensors.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from burnish.errors import ModelError

Match = Literal["names", "order"]
Tensors = Mapping[str, Tensor]

TORCH_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
WRAPPED = 4  # wrappers in one another at most: a pickled dictionary may hold itself
# Two layers whose tensors carry these names in another order are not the same layer.
FIXED_LEAVES = {"weight", "bias", "running_mean", "running_var"}
ENOUGH = 0.5  # share of the net's tensors below which a file is taken for the wrong one


@dataclass(frozen=True)
class Report:
    """What came of fitting weights to a net; every name is one of the net's or of the file's.

    Args:
        source: the file, or the name of the weights.
        loaded: the net's tensors that were filled.
        missing: the net's tensors that the file does not have.
        unexpected: the file's tensors that the net does not have.
        reshaped: the net's tensors that have another shape in the file, with both shapes.
        classifier: the file's output layer, left out because the net's has another form.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    classifier: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """One sentence for each thing that a person should know."""
        said = [f"{self.source}: {len(self.loaded)} tensors loaded"]
        for names, text in (
            (self.classifier, "its output layer does not fit the head, which starts anew"),
            (self.missing, "not in it, left at their initial values"),
            (self.reshaped, "of another shape, left at their initial values"),
            (self.unexpected, "not in the net, left out"),
        ):
            if names:
                said.append(f"{self.source}: {text}: {_some(names)}")
        return said


def load_weights_file(
    module: nn.Module, path: str | Path, match: Match = "names", head: str | None = None
) -> Report:
    """Fill ``module`` from a file; see :func:`read_weights` and :func:`fit_weights`.

    Raises:
        ModelError: naming the file, if it cannot be read or does not fit.
    """
    return fit_weights(
        module, read_weights(path), match, head, source=f"model.weights_file: {path}"
    )


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The named tensors in a file, wherever in its dictionaries they lie.

    Args:
        path: a ``.pth``, ``.pt``, ``.ckpt`` or ``.bin`` of torch, or ``.safetensors``.

    Returns:
        Tensors on the CPU, in the file's order.

    Raises:
        ModelError: if the file is missing, damaged, of another kind, holds no tensors, tensors
            that are not dense, or anything that would have to be executed.
    """
    file = Path(path).expanduser()
    known = (*TORCH_SUFFIXES, ".safetensors")
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise ModelError(f"model.weights_file: {file} {what}; give a file ({' '.join(known)})")
    if file.suffix.lower() not in known:
        raise ModelError(
            f"model.weights_file: {file} ends in {file.suffix or 'nothing'}; known are "
            + " ".join(known)
        )
    safe = file.suffix.lower() == ".safetensors"
    tensors = _tensors(_read_safetensors(file) if safe else _read_torch(file), file)
    for key, tensor in tensors.items():
        if form := _unusual_form(tensor):
            raise ModelError(
                f"model.weights_file: {file}: {key} is {form}; save it as a dense tensor"
            )
    return tensors


def fit_weights(
    module: nn.Module, tensors: Tensors, match: Match, head: str | None, source: str
) -> Report:
    """Fill ``module`` with the tensors that fit it.

    ``names`` pairs equal names, once a common prefix such as ``module.`` or ``net.`` is gone.
    ``order`` pairs the first tensor with the first, and so on: for files of another
    implementation of the same architecture, which names its layers differently. It asks that all
    shapes agree, the output layer's excepted.

    Args:
        module: the net to fill, in place.
        tensors: name to tensor, in the file's order.
        match: ``names`` or ``order``.
        head: name of the module's output layer; it is filled if all its tensors fit and else
            left as it is. None if the module has none.
        source: what errors and the report call the weights.

    Returns:
        What was filled and what was not.

    Raises:
        ModelError: if less than half of the module's tensors (the head aside) are found, or a
            fitting one holds another kind of numbers or values that are not finite; the module
            is then as it was.
    """
    own = _without_counters(module.state_dict())
    given = _without_counters(tensors)
    pairs = _pair_by_order(own, given, head) if match == "order" else _pair_by_name(own, given)
    if pairs is None:
        raise ModelError(
            f"{source}: model.weights_match=order needs the same shapes in the same order: "
            + _first_difference(own, given)
        )
    fitting = {name: key for name, key in pairs.items() if own[name].shape == given[key].shape}
    body = [name for name in own if not _inside(name, head)]
    if sum(name in fitting for name in body) < ENOUGH * len(body):
        raise ModelError(f"{source}: {_misfit(own, given, head)}")
    if any(_inside(name, head) and name not in fitting for name in own):
        fitting = {name: key for name, key in fitting.items() if not _inside(name, head)}
    for name, key in fitting.items():
        if wrong := _useless_values(given[key], own[name].dtype):
            raise ModelError(f"{source}: {key} {wrong}")
    with torch.no_grad():  # not load_state_dict: mnasnet's asks for a version that files lack
        for name, key in fitting.items():
            own[name].copy_(given[key])
    return _report(source, own, given, pairs, fitting, head)


def _report(
    source: str,
    own: Tensors,
    given: Tensors,
    pairs: Mapping[str, str],
    fitting: Mapping[str, str],
    head: str | None,
) -> Report:
    used = set(fitting.values())
    left = [key for key in given if key not in used]
    ends = _output_layer(given, pairs, head) - used
    paired = set(pairs.values())
    return Report(
        source,
        loaded=tuple(fitting),
        missing=tuple(name for name in own if name not in pairs and not _inside(name, head)),
        unexpected=tuple(key for key in left if key not in paired and key not in ends),
        reshaped=tuple(
            f"{name} {_shape(own[name])} (there {_shape(given[key])})"
            for name, key in pairs.items()
            if name not in fitting and key not in ends
        ),
        classifier=tuple(f"{key} {_shape(given[key])}" for key in left if key in ends),
    )


def _output_layer(given: Tensors, pairs: Mapping[str, str], head: str | None) -> set[str]:
    """The file's tensors that meet the net's head, or its last layer where nothing does."""
    meets = {key for name, key in pairs.items() if _inside(name, head)}
    return meets or set(_last_layer(list(given)))


def _last_layer(keys: list[str]) -> list[str]:
    """The keys of the last layer; none if names (``w1``, ``b1``) do not tell layers apart."""
    layer = _layer(keys[-1]) if keys else ""
    last = [key for key in keys if _layer(key) == layer]
    return last if layer and len(last) < len(keys) else []


def _read_torch(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"model.weights_file: {file} is refused, nothing of it was executed: it is damaged, "
            "or holds more than tensors and plain containers (a whole pickled model, say; save "
            "its state_dict() instead)"
        ) from error
    except Exception as error:  # damaged archives raise a dozen kinds
        raise ModelError(f"model.weights_file: {file} cannot be read: {_first(error)}") from error


def _read_safetensors(file: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"model.weights_file: {file} cannot be read: {_first(error)}") from error


def _tensors(content: Any, file: Path) -> dict[str, Tensor]:
    """Descend through the usual wrappers to the dictionary that holds tensors."""
    for _ in range(WRAPPED):
        inside = content if isinstance(content, Mapping) else {}
        inner = (inside[k] for k in WRAPPERS if isinstance(inside.get(k), Mapping))
        content = next(inner, content)
    items = content.items() if isinstance(content, Mapping) else ()
    found = {str(key): value for key, value in items if isinstance(value, Tensor)}
    if not found:
        what = _some([str(key) for key, _ in items]) if items else type(content).__name__
        raise ModelError(f"model.weights_file: {file} holds no named tensors, found {what}")
    return found


def _unusual_form(tensor: Tensor) -> str | None:
    """In words, where a tensor is not plain values in memory."""
    if tensor.is_nested:  # before the layout, which nested tensors have of their own
        return "nested"
    if tensor.layout is not torch.strided:
        return f"stored as {str(tensor.layout).removeprefix('torch.')}"
    if tensor.is_meta:
        return "on the meta device, without values"
    return "quantized" if tensor.is_quantized else None


def _useless_values(tensor: Tensor, dtype: torch.dtype) -> str | None:
    """In words, why the values cannot be taken over as ``dtype``."""
    if _kind(tensor.dtype) != _kind(dtype):
        return f"holds {_kind(tensor.dtype)} numbers, the net {_kind(dtype)} ones"
    # Cast first: large doubles overflow, and isfinite does not know every kind of 8 bits.
    return None if tensor.to(dtype).isfinite().all() else "holds values that are not finite"


def _kind(dtype: torch.dtype) -> str:
    return (
        "complex" if dtype.is_complex else "floating-point" if dtype.is_floating_point else "whole"
    )


def _without_counters(tensors: Tensors) -> dict[str, Tensor]:
    """Without what batch norms count for a momentum that nobody uses; old files lack them."""
    return {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}


def _pair_by_name(own: Tensors, given: Tensors) -> dict[str, str]:
    """Each of the net's names with the file's, under the prefix that most names agree with."""
    plain = {key.replace("_orig_mod.", ""): key for key in given}  # from torch.compile
    counts: dict[str, int] = {"": 0}
    for key in plain:
        for start in _suffix_starts(key):
            if key[start:] in own:
                counts[key[:start]] = counts.get(key[:start], 0) + 1
    prefix = max(counts, key=lambda name: counts[name])
    return {name: plain[prefix + name] for name in own if prefix + name in plain}


def _suffix_starts(key: str) -> list[int]:
    return [0, *(i + 1 for i, letter in enumerate(key) if letter == ".")]


def _pair_by_order(own: Tensors, given: Tensors, head: str | None) -> dict[str, str] | None:
    """The net's names with the file's in order, or None where a shape differs.

    What the file has beyond the body must be its output layer: by the names or, where they do
    not tell, by the number of tensors: the head's, or a weight and a bias.
    """
    body = [name for name in own if not _inside(name, head)]
    ends = [name for name in own if _inside(name, head)]
    keys = list(given)
    rest, tail = keys[: len(body)], keys[len(body) :]
    last = _last_layer(keys)
    ended = not tail or (tail == last if last else len(tail) in (len(ends), 2))
    if not ended or len(rest) < len(body):
        return None
    alike = (_alike(name, own[name], key, given[key]) for name, key in zip(body, rest, strict=True))
    return dict(zip(body + ends, keys, strict=False)) if all(alike) else None


def _alike(name: str, tensor: Tensor, key: str, other: Tensor) -> bool:
    leaves = {name.rpartition(".")[2], key.rpartition(".")[2]}
    return tensor.shape == other.shape and (len(leaves) == 1 or not leaves <= FIXED_LEAVES)


def _misfit(own: Tensors, given: Tensors, head: str | None) -> str:
    both = f"the net's tensors are {_some(list(own))}; the file's are {_some(list(given))}"
    if _pair_by_order(own, given, head) is not None:
        return f"the names do not fit but the shapes do: model.weights_match=order. {both}"
    return (
        f"does not fit the net. {both}. Neither do the shapes agree in order "
        "(model.weights_match=order): is it another architecture?"
    )


def _first_difference(own: Tensors, given: Tensors) -> str:
    for (name, tensor), (key, other) in zip(own.items(), given.items(), strict=False):
        if not _alike(name, tensor, key, other):
            return f"{name} {_shape(tensor)} of the net meets {key} {_shape(other)}"
    return f"the net has {len(own)} tensors, the file {len(given)}"


def _inside(name: str, layer: str | None) -> bool:
    return layer is not None and name.startswith(f"{layer}.")


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _some(names: Iterable[str], most: int = 3) -> str:
    named = list(names)
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
