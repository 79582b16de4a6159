"""A client that reads one long stream with all readouts. Stopped or killed by its parent.

Usage: reader_driver.py TARGET
"""

import sys

import grpc

from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import generation_service_pb2_grpc as pb_grpc

REQUEST = pb.StreamGenerateRequest(
    spec={
        "prompt": {"text": "Once upon a time"},
        "sampling": {"temperature": 0, "max_tokens": 2000, "ignore_eos": True},
        "readouts": {"generation": True},
    }
)


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        call = pb_grpc.GenerationServiceStub(channel).StreamGenerate(REQUEST, timeout=300)
        try:
            for n, _ in enumerate(call):
                if n == 0:
                    print("reading", flush=True)  # noqa: T201
        except grpc.RpcError as error:
            print(error.code().name, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
