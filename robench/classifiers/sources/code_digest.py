"""A digest of a function in memory: of its code and of what it has bound."""

import inspect
from hashlib import sha256
from types import BuiltinFunctionType, CodeType, ModuleType
from typing import Any

from torch import Tensor, nn

from robench.errors import InputError


def code_digest(function: Any) -> str:
    """Return a digest of the code of a function and of the values that it has bound; globals are left out.

    Raises:
        InputError: it is no plain function, or has bound something that cannot be told from another such thing.
    """
    if not inspect.isfunction(function):
        raise InputError(f"backward is a {type(function).__name__}, not a plain function: write it with def.")
    code = function.__code__
    bound = [cell.cell_contents for cell in function.__closure__ or ()]
    bound += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).items()]
    text = f"{code.co_code.hex()} {code.co_names} {[_digest(each) for each in (*code.co_consts, *bound)]}"
    return sha256(text.encode()).hexdigest()


def _digest(value: Any) -> str:
    """Return a text that tells a bound value from others."""
    if value is None or value is ... or isinstance(value, bool | int | float | complex | str | bytes):
        told = repr(value)
    elif isinstance(value, CodeType):
        told = f"{value.co_code.hex()} {value.co_names} {[_digest(each) for each in value.co_consts]}"
    elif isinstance(value, tuple | list | frozenset):
        told = f"{[_digest(each) for each in value]}"
    elif isinstance(value, Tensor):
        numbers = value.detach().cpu().double().numpy().tobytes()
        told = f"{sha256(numbers).hexdigest()} {value.dtype} {tuple(value.shape)}"
    elif isinstance(value, nn.Module):
        told = f"{value!r} {[(name, _digest(each)) for name, each in value.state_dict().items()]}"
    elif isinstance(value, type | ModuleType | BuiltinFunctionType):
        told = f"{getattr(value, '__module__', '')}.{value.__name__}"
    elif inspect.isfunction(value):
        told = code_digest(value)
    else:
        raise InputError(
            f"backward has bound a {type(value).__name__}, which robench cannot tell from another: bind numbers, "
            "texts, tensors, networks or functions, or name it as file.py:function."
        )
    return told
