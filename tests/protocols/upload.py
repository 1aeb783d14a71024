"""`upload.py ADDRESS ROUNDS MEBIBYTES [LENGTH]`: uploads with grpcio, and prints a line of JSON for each."""

import json
import sys

import grpc

MIB = 1 << 20


def message(content):
    """A google.protobuf.BytesValue."""
    head, length = b"\x0a", len(content)
    while length > 127:
        head += bytes([length & 127 | 128])
        length >>= 7
    return head + bytes([length]) + content


def main():
    address, rounds, mebibytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    metadata = [("upload-length", length) for length in sys.argv[4:]]
    chunk = message(bytes(MIB))
    with grpc.insecure_channel(address) as channel:
        upload = channel.stream_unary("/test.Uploads/Upload")
        for _ in range(rounds):
            try:
                upload((chunk for _ in range(mebibytes)), metadata=metadata, timeout=30)
                outcome = {"code": "OK"}
            except grpc.RpcError as error:
                outcome = {"code": error.code().name, "message": error.details()}
            print(json.dumps(outcome))


main()
