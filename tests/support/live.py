"""The slow reference of a request whose program was changed."""

from support.reference import Reference
from support.slow import SlowCourse
from vagus.v1 import steering_pb2


def course(
    reference: Reference, prompt: list[int], *parts: tuple[int, list[steering_pb2.Operation]]
) -> SlowCourse:
    """Programs from positions on."""
    programs = []
    for start, operations in parts:
        program = reference.program(*operations, prompt=prompt)
        program.origin = max(start, len(prompt))
        programs.append((start, program))
    return SlowCourse(programs)
