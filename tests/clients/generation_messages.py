"""Messages of one short steered generation."""

from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import readout_pb2, steering_pb2

CONCEPTS = ["calm", "desperate"]


def layout() -> readout_pb2.ReadoutLayout:
    return readout_pb2.ReadoutLayout(concepts=CONCEPTS, sites=[20], pack_digest="d1")


def readout(position: int, *z: float) -> readout_pb2.TokenReadout:
    site = readout_pb2.SiteReadout(site=20, after_z=z)
    return readout_pb2.TokenReadout(position=position, sites=[site])


def token(text: str, position: int, *z: float) -> pb.GeneratedToken:
    return pb.GeneratedToken(id=position, text=text, readout=readout(position, *z))


def receipt(tokens: int = 6, in_scope: int = 6) -> steering_pb2.Receipt:
    site = steering_pb2.SiteReceipt(site=15, tokens=tokens, length=12.0, dose=0.3)
    counted = steering_pb2.OperationReceipt(concept="calm", sites=[site], tokens_in_scope=in_scope)
    return steering_pb2.Receipt(
        program_digest="abcdef0123456789", operations=[counted], processed_tokens=6
    )


def finish(**changes: object) -> pb.Finish:
    means = readout_pb2.SiteReadout(site=20, after_z=[1.5, -0.5])
    fields = {
        "reason": pb.FINISH_REASON_STOP,
        "stop": "END",
        "usage": pb.Usage(prompt_tokens=5, generated_tokens=2),
        "receipt": receipt(),
        "turn": readout_pb2.TurnReadout(sites=[means], tokens=2),
    }
    return pb.Finish(**{**fields, **changes})


def messages() -> list[pb.StreamGenerateResponse]:
    """A stream whose second token's text comes with the third message."""
    return [
        pb.StreamGenerateResponse(
            text="Hi",
            layout=layout(),
            prompt_readouts=[readout(3, 0, 0)],
            tokens=[token("Hi", 4, 3.0, -1.0)],
        ),
        pb.StreamGenerateResponse(tokens=[token("", 5, 0.0, 0.0)]),
        pb.StreamGenerateResponse(text=" you", finish=finish()),
    ]


def response() -> pb.GenerateResponse:
    """The same generation, unary."""
    whole = pb.GenerateResponse(text="Hi you", layout=layout(), finish=finish())
    whole.prompt_readouts.append(readout(3, 0, 0))
    whole.tokens.extend([token("Hi", 4, 3.0, -1.0), token("", 5, 0.0, 0.0)])
    return whole
