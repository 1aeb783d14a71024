"""`with_requests.py known|unknown URL BYTES`: a client with requests. Prints the status and how long the answer was."""

import sys
import tempfile

import requests


def main():
    length, url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        body = file if length == "known" else iter(lambda: file.read(64 << 10), b"")
        answer = requests.put(url, data=body, timeout=60)
        return f"{answer.status_code} {len(answer.content)}"


try:
    print(main())
except (requests.RequestException, OSError) as error:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    print(f"error {error}")
