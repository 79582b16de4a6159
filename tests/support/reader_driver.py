"""A client that reads one long stream with all readouts. Stopped or killed by its parent.

Usage: reader_driver.py TARGET
"""

import sys

import grpc

from support.calls import EVERYTHING, spec, stream


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        call = stream(channel, spec("Once upon a time", readouts=EVERYTHING, max_tokens=2000))
        try:
            for n, _ in enumerate(call):
                if n == 0:
                    print("reading", flush=True)  # noqa: T201
        except grpc.RpcError as error:
            print(error.code().name, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
