"""What a key may do: one scope for each call."""

from collections.abc import Mapping
from enum import StrEnum


class Scope(StrEnum):
    """What a key can be allowed to do.

    GENERATE: generate, steered or not.
    READ: read concepts: in given text, and beside generated tokens.
    CONCEPTS_WRITE: upload and delete the tenant's own concepts.
    ADMIN: all of these, for the key's tenant, and the metrics page, which is of all tenants.
    """

    GENERATE = "generate"
    READ = "read"
    CONCEPTS_WRITE = "concepts-write"
    ADMIN = "admin"


#: What each call needs; None: any key. A call that is not listed is for ADMIN alone.
NEEDED: Mapping[str, Scope | None] = {
    "/vagus.v1.GenerationService/Generate": Scope.GENERATE,
    "/vagus.v1.GenerationService/StreamGenerate": Scope.GENERATE,
    "/vagus.v1.GenerationService/Converse": Scope.GENERATE,
    "/vagus.v1.PolicyService/ListPolicies": None,
    "/vagus.v1.ReadoutService/ReadText": Scope.READ,
    "/vagus.v1.ConceptService/ListConcepts": None,
    "/vagus.v1.ConceptService/GetConcept": None,
    "/vagus.v1.ConceptService/UploadConcept": Scope.CONCEPTS_WRITE,
    "/vagus.v1.ConceptService/DeleteConcept": Scope.CONCEPTS_WRITE,
    "/vagus.v1.ConceptService/ListPacks": None,
    "/vagus.v1.ConceptService/GetPack": None,
    "/vagus.v1.ModelService/ListModels": None,
    "/vagus.v1.ModelService/GetModel": None,
}


def needed_scope(method: str) -> Scope | None:
    """The scope that a call needs, by its full name."""
    return NEEDED.get(method, Scope.ADMIN)
