"""Read the parameters of a class or function, `**options` included."""

import functools
import inspect
import typing
from typing import Any


def _passes_to(target: Any) -> Any:
    """Return the class that a model of ours passes its `**options` to; None without such."""
    parameters = inspect.signature(target).parameters.values()
    ours = str(getattr(target, "__module__", "")).startswith("resnet_lab.")
    if not ours or not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    if inspect.isclass(target):
        return target.__base__
    returned = typing.get_type_hints(target).get("return")
    return returned if inspect.isclass(returned) else None


@functools.cache
def parameters_of(target: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class or function by name.

    The `**options` of a model of ours are replaced by the parameters that they are passed on to.
    """
    parameters = dict(inspect.signature(target).parameters)
    if further := _passes_to(target):
        parameters = {
            name: parameter
            for name, parameter in parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        parameters = {**parameters_of(further), **parameters}
    return parameters


@functools.cache
def hints_of(target: Any) -> dict[str, Any]:
    """Return their annotations; raise NameError or TypeError if they cannot be read from here."""
    further = _passes_to(target)
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    return {**hints_of(further), **hints} if further else hints
