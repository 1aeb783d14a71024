// `node fetch.mjs known|unknown URL BYTES`: a client with Node's fetch, a Blob or a stream as its body. Prints the status
// and how long the answer was.
const [length, url, bytes] = process.argv.slice(2);

function* zeros(left) {
  const chunk = new Uint8Array(64 * 1024);
  for (; left > 0; left -= chunk.length) {
    yield chunk.subarray(0, Math.min(left, chunk.length));
  }
}

try {
  const body =
    length === 'known' ? new Blob([new Uint8Array(Number(bytes))]) : ReadableStream.from(zeros(Number(bytes)));
  const answer = await fetch(url, { method: 'PUT', body, duplex: 'half' });
  console.log(`${answer.status} ${(await answer.arrayBuffer()).byteLength}`);
} catch (error) {
  let cause = error;
  while (cause.cause) cause = cause.cause;
  console.log(`error ${cause.code ?? cause.message}`);
}
