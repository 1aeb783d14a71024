//! Chunks that are none, or never end.

use crate::{
    case::{Case, Sight},
    server::FREE,
    table::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    let malformed = malformed()
        .into_iter()
        .map(|case| case.row("chunks::malformed_chunks_end_the_body"));
    let many = many()
        .into_iter()
        .map(|case| case.row("chunks::bytes_count_however_they_are_cut"));
    malformed.chain(many).collect()
}

#[test]
fn malformed_chunks_end_the_body() {
    malformed().iter().for_each(Case::check);
}

#[test]
fn bytes_count_however_they_are_cut() {
    many().iter().for_each(Case::check);
}

const HEAD: &str = "PUT / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";

fn malformed() -> Vec<Case> {
    let broken = |client, body: &[u8]| Case {
        client,
        head: HEAD,
        body: body.to_vec(),
        answers: &[400],
        seen: Sight::Broken(0),
    };
    let extension = [b"5;".to_vec(), vec![b'x'; 64 << 10], b"\r\nhello\r\n0\r\n\r\n".to_vec()].concat();
    let trailer = [b"0\r\nx: ".to_vec(), vec![b'x'; 64 << 10], b"\r\n\r\n".to_vec()].concat();
    vec![
        broken("a chunk of size `zz`", b"zz\r\nhello\r\n0\r\n\r\n"),
        broken("a chunk of size `-5`", b"-5\r\nhello\r\n0\r\n\r\n"),
        broken("a chunk of size `0x5`", b"0x5\r\nhello\r\n0\r\n\r\n"),
        broken("a chunk without a size", b"\r\nhello\r\n0\r\n\r\n"),
        broken("a chunk of 2^68 − 1 bytes", b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
        broken("a chunk with 64 KiB of extensions", &extension),
        broken("64 KiB of trailers", &trailer),
        Case {
            client: "a chunk that is longer than its size",
            head: HEAD,
            body: b"5\r\nhello!\r\n0\r\n\r\n".to_vec(),
            answers: &[400],
            seen: Sight::Broken(5),
        },
        Case {
            client: "no last chunk, and goes",
            head: HEAD,
            body: b"5\r\nhello\r\n".to_vec(),
            answers: &[],
            seen: Sight::Broken(5),
        },
    ]
}

fn many() -> Vec<Case> {
    let mut endless = b"FFFFFFFFFFFFFFFF\r\n".to_vec();
    endless.resize(endless.len() + 2 * FREE as usize, 0);
    vec![
        Case {
            client: "a chunk of 2^64 − 1 bytes",
            head: HEAD,
            body: endless,
            answers: &[507],
            seen: Sight::Broken(FREE),
        },
        Case {
            client: "10,000 chunks of one byte",
            head: HEAD,
            body: chunked(&[1; 10_000]),
            answers: &[200],
            seen: Sight::Whole(10_000),
        },
        Case {
            client: "one chunk, then another, more than fits",
            head: HEAD,
            body: chunked(&[FREE as usize, 1]),
            answers: &[507],
            seen: Sight::Broken(FREE),
        },
    ]
}

/// A body in chunks of these sizes, with its end.
pub(crate) fn chunked(sizes: &[usize]) -> Vec<u8> {
    let mut body = Vec::new();
    for size in sizes {
        body.extend(format!("{size:x}\r\n").bytes());
        body.resize(body.len() + size, 0);
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\n\r\n");
    body
}
