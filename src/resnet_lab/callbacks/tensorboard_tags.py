"""Names of curves in TensorBoard."""

SUFFIXES = ("_step", "_top5")


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
    suffix = next((each for each in SUFFIXES if metric.endswith(each)), "")
    return f"{metric.removesuffix(suffix)}/{split}{suffix}"
