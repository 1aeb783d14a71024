"""`with_http_client.py known|unknown once|anyway URL BYTES`: a client with Python's standard library.

With `once` as its manual shows it, with `anyway` it looks for an answer also when it could not send everything. Prints
the status and how long the answer was.
"""

import contextlib
import http.client
import sys
import tempfile
from urllib.parse import urlsplit


def main():
    length, patience, url, size = sys.argv[1], sys.argv[2], urlsplit(sys.argv[3]), int(sys.argv[4])
    tolerated = contextlib.suppress(BrokenPipeError) if patience == "anyway" else contextlib.nullcontext()
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        with tolerated:
            if length == "known":
                connection.request("PUT", url.path, file, {"Content-Length": str(size)})
            else:
                connection.request("PUT", url.path, file, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        answer = connection.getresponse()
        return f"{answer.status} {len(answer.read())}"


try:
    print(main())
except (http.client.HTTPException, OSError) as error:
    print(f"error {error}")
