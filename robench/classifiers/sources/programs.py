"""Load a file that is a program, whichever kind: its bytes are read once, faults become one sentence."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from robench.classifiers.normalised import normalised
from robench.classifiers.program import Parsed, Program
from robench.classifiers.sources.loaded import Loaded
from robench.errors import InputError
from robench.specs import Architecture, Head, Input, NetworkSpec, file_sha256

PROGRAMS = ("exported", "torchscript", "onnx")
"""Names of the architectures of programs, which no card can hold."""


def load_program(spec: NetworkSpec, path: Path, kind: str, parse: Callable[[bytes], Parsed]) -> Loaded:
    """Load the network that a file brings as a program; with --mean and --std, images are normalised before it.

    Args:
        spec: the network as the user names it.
        path: the file.
        kind: name of this kind of program, the name of the architecture.
        parse: reads the program; its InputErrors say what the file does wrong, without naming the file.

    Raises:
        InputError: the file is missing, damaged or of another kind, or an option contradicts it.
    """
    require_alone(spec, path, ("weights", "head", "variant", "key", "feature_layer"))
    with one_sentence(spec):
        program = Program(path.read_bytes(), parse)
    given = spec.input or Input()
    return Loaded(
        network=normalised(program, given).eval(),
        architecture=Architecture(name=kind, args={"file": str(path)}),
        head=Head(),
        input=given,
        input_source="as said" if spec.input is not None else "of the file",
        code=file_sha256(path),
        remark="a program, it runs as it was exported",
    )


def require_alone(spec: NetworkSpec, path: Path, contradicting: Sequence[str]) -> None:
    """Check that the file is there, and that no option contradicts it.

    Raises:
        InputError: there is no such file, or the user gave one of the options `contradicting`.
    """
    for option in contradicting:
        if getattr(spec, option) is not None:
            raise InputError(
                f"--model {spec.name} is a program, which brings all of the network and names no layers: "
                f"leave --{option.replace('_', '-')} out."
            )
    if not path.is_file():
        raise InputError(f"--model {spec.name}: there is no file '{path}'.")


@contextmanager
def one_sentence(spec: NetworkSpec) -> Iterator[None]:
    """Turn every fault of a file that is read in the body into one sentence that names the file.

    Raises:
        InputError: the body raised an error; its InputErrors say what the file does wrong, without naming the file.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"--model {spec.name} {error}.") from error
    except Exception as error:  # each format fails in its own ways on a damaged file
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".: ")
        raise InputError(f"--model {spec.name} cannot be read ({said}): export or fetch it again.") from error
