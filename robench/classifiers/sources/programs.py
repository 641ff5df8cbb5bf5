"""Load a file that is a program, whichever kind: its bytes are read once, faults become one sentence."""

from collections.abc import Callable
from pathlib import Path

from robench.classifiers.normalised import normalised
from robench.classifiers.program import Parsed, Program
from robench.classifiers.sources.loaded import Loaded
from robench.errors import InputError
from robench.specs import Architecture, Head, Input, NetworkSpec, file_sha256


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
    where = f"--model {spec.name}"
    for option in ("weights", "head", "variant", "key", "feature_layer"):
        if getattr(spec, option) is not None:
            raise InputError(
                f"{where} is a program, which brings weights and head and shows no layers: "
                f"leave --{option.replace('_', '-')} out."
            )
    if not path.is_file():
        raise InputError(f"{where}: there is no file '{path}'.")
    try:
        program = Program(path.read_bytes(), parse)
    except InputError as error:
        raise InputError(f"{where} {error}.") from error
    except Exception as error:  # each format fails in its own ways on a damaged file
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
        raise InputError(f"{where} cannot be read ({said}): export or fetch it again.") from error
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
