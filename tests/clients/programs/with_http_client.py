"""`with_http_client.py known|unknown URL BYTES`: a client with Python's standard library, as its manual shows it.

Prints the status and how long the answer was.
"""

import http.client
import sys
import tempfile
from urllib.parse import urlsplit


def main():
    length, url, size = sys.argv[1], urlsplit(sys.argv[2]), int(sys.argv[3])
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        if length == "known":
            connection.request("PUT", url.path, file, {"Content-Length": str(size)})
        else:
            connection.request("PUT", url.path, file, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
        answer = connection.getresponse()
        return f"{answer.status} {len(answer.read())}"


try:
    print(main())
except (http.client.HTTPException, OSError) as error:
    print(f"error {error}")
