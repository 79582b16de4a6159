"""The command line's side of policies, against a scripted server."""

import json

from client_drivers import asynchronous
from command_line import TERMINAL, invoke
from generation_messages import finish, receipt
from scripted_server import send, serve

from vagus.v1 import generation_service_pb2 as generation_pb
from vagus.v1 import policy_pb2 as policy_pb
from vagus.v1 import policy_service_pb2 as policy_service_pb
from vagus.v1 import steering_pb2


@asynchronous
async def test_policies_events_are_shown_in_the_colour_of_their_severity() -> None:
    event = {"policy": "[p]", "position": 4, "value": 2.5, "severity": "critical"}
    ceased = {**event, "kind": 2, "value": -0.5, "position": 9}
    parts = [
        generation_pb.StreamGenerateResponse(text="a", policy_events=[{**event, "kind": 1}]),
        generation_pb.StreamGenerateResponse(text=" b", policy_events=[ceased]),
        generation_pb.StreamGenerateResponse(finish=finish(receipt=None, turn=None)),
    ]
    async with serve(send(*parts), send(*parts)) as server:
        done = await invoke(server, "chat", "Hi", "--policy", "p", "--policy", "q")
        colored = await invoke(server, "chat", "Hi", env=TERMINAL)
    assert (done.exit_code, done.stdout) == (0, "a b\n")
    assert done.stderr.splitlines() == [
        "[critical] [p] began (z +2.50 at 4)",
        "[critical] [p] ceased (z -0.50 at 9)",
    ]
    assert list(server.requests[0].spec.policies) == ["p", "q"]
    assert "\x1b[1;31m[critical] [p] began" in colored.stderr
    # On a terminal the reply's line is left first.
    assert colored.stdout == "a\n b\n\n"


@asynchronous
async def test_the_receipt_line_tells_of_policies() -> None:
    def part(start: int, end: int, concept: str, **fields: object) -> steering_pb2.ProgramReceipt:
        counted = receipt(end - start, end - start).operations[0]
        counted.concept = concept
        return steering_pb2.ProgramReceipt(
            from_position=start, to_position=end, operations=[counted], **fields
        )

    said = steering_pb2.Receipt(processed_tokens=6, changes=[part(4, 6, "calm", policies=["p"])])
    ended = generation_pb.StreamGenerateResponse(text="a", finish=finish(receipt=said, turn=None))
    async with serve(send(ended)) as server:
        done = await invoke(server, "chat", "Hi")
    line = (
        "receipt: nothing · from 4 (p): calm @15: 2/2 tokens, dose 0.3"
        " · 6 processed, 0 cached · verified"
    )
    assert done.stderr.splitlines() == [line]


@asynchronous
async def test_policies() -> None:
    stops = policy_pb.Policy(
        name="halt", severity="critical", trigger={"concept": "desperate", "begin_z": 3}, stops=True
    )
    soothes = policy_pb.Policy(
        name="soothe",
        description="when [calm] is low",
        severity="info",
        every_request=True,
        trigger={"concept": "calm", "begin_z": -2, "cease_z": -1.5, "below": True},
        steering=[{"concept": "calm", "sites": [15, 16], "dose": 0.1}],
    )
    listing = policy_service_pb.ListPoliciesResponse(policies=[stops, soothes])
    async with serve(send(listing), send(listing)) as server:
        done = await invoke(server, "policies")
        machine = await invoke(server, "policies", "--json")
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert rows[-3:-1] == [
        "halt critical desperate >= 3 < 0 stops if named",
        "soothe info calm <= -2 > -1.5 calm +0.1 @15,16 every request when [calm] is low",
    ]
    assert [policy["name"] for policy in json.loads(machine.stdout)] == ["halt", "soothe"]
