"""Names of curves in TensorBoard."""


def tag(name: str) -> str:
    """Return the tag of a metric: `acc/val` for `val/acc`, `optimizer/lr` for `lr`.

    TensorBoard sorts groups, which are what stands before the slash, and opens the first two: so
    training and validation stand side by side, accuracy and loss first.
    """
    if name == "grad_norm" or name.startswith("lr"):
        return f"optimizer/{name}"
    split, _, metric = name.partition("/")
    if split not in ("train", "val") or not metric:
        return name
    if metric.endswith("_step"):  # in a group of its own, or it would stand between the two
        return f"step/{metric.removesuffix('_step')}"
    suffix = "_top5" if metric.endswith("_top5") else ""
    return f"{metric.removesuffix(suffix)}/{split}{suffix}"
