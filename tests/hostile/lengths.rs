//! Lengths that are none, too many, or do not agree.

use crate::{
    case::{Case, Sight},
    chunks::chunked,
    server::FREE,
    table::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    let malformed = malformed()
        .into_iter()
        .map(|case| case.row("lengths::malformed_lengths_never_reach_the_handler"));
    let huge = huge()
        .into_iter()
        .map(|case| case.row("lengths::huge_lengths_hold_nothing"));
    let harmless = harmless()
        .into_iter()
        .map(|case| case.row("lengths::odd_but_valid_lengths_count_once"));
    let both = both()
        .into_iter()
        .map(|case| case.row("lengths::chunks_count_whatever_content_length_says"));
    let wrong = wrong()
        .into_iter()
        .map(|case| case.row("lengths::a_body_is_as_long_as_it_said"));
    malformed.chain(huge).chain(harmless).chain(both).chain(wrong).collect()
}

#[test]
fn malformed_lengths_never_reach_the_handler() {
    malformed().iter().for_each(Case::check);
}

#[test]
fn huge_lengths_hold_nothing() {
    huge().iter().for_each(Case::check);
}

#[test]
fn odd_but_valid_lengths_count_once() {
    harmless().iter().for_each(Case::check);
}

#[test]
fn chunks_count_whatever_content_length_says() {
    both().iter().for_each(Case::check);
}

#[test]
fn a_body_is_as_long_as_it_said() {
    wrong().iter().for_each(Case::check);
}

fn malformed() -> Vec<Case> {
    let refused = |client, head| Case {
        client,
        head,
        body: b"hello!".to_vec(),
        answers: &[400],
        seen: Sight::Nothing,
    };
    vec![
        refused(
            "two different `Content-Length`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        ),
        refused(
            "`Content-Length: 5, 6`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5, 6\r\n\r\n",
        ),
        refused(
            "`Content-Length: 5, 5`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5, 5\r\n\r\n",
        ),
        refused(
            "`Content-Length: -5`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: -5\r\n\r\n",
        ),
        refused(
            "`Content-Length: +5`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: +5\r\n\r\n",
        ),
        refused(
            "`Content-Length: 0x5`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 0x5\r\n\r\n",
        ),
        refused(
            "`Content-Length: 5.0`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5.0\r\n\r\n",
        ),
        refused(
            "`Content-Length: 5 5`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5 5\r\n\r\n",
        ),
        refused(
            "an empty `Content-Length`",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: \r\n\r\n",
        ),
        refused(
            "a `Content-Length` in digits of another script",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: \u{665}\r\n\r\n",
        ),
        refused(
            "`Content-Length` of 2^64",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 18446744073709551616\r\n\r\n",
        ),
        refused(
            "`Content-Length` of 25 digits",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 9999999999999999999999999\r\n\r\n",
        ),
        refused(
            "`Transfer-Encoding: gzip`",
            "PUT / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip\r\n\r\n",
        ),
        refused(
            "`Transfer-Encoding: chunked` in HTTP/1.0",
            "PUT / HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
    ]
}

fn huge() -> Vec<Case> {
    let refused = |client, head, answers| Case {
        client,
        head,
        body: b"hello!".to_vec(),
        answers,
        seen: Sight::Nothing,
    };
    vec![
        refused(
            "`Content-Length` of 2^64 − 1, more than hyper takes",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 18446744073709551615\r\n\r\n",
            &[431],
        ),
        refused(
            "`Content-Length` of 2^64 − 3, the most that hyper takes",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 18446744073709551613\r\n\r\n",
            &[413],
        ),
        refused(
            "`Content-Length` of 2^63",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 9223372036854775808\r\n\r\n",
            &[413],
        ),
        refused(
            "`Content-Length` of all of the disk",
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 1099511627776\r\n\r\n",
            &[507],
        ),
    ]
}

fn harmless() -> Vec<Case> {
    let stored = |client, head| Case {
        client,
        head,
        body: b"hello".to_vec(),
        answers: &[200],
        seen: Sight::Whole(5),
    };
    vec![
        stored(
            "the same `Content-Length` twice",
            "PUT / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
        ),
        stored(
            "`Content-Length` with blanks around it",
            "PUT / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: \t 5 \t\r\n\r\n",
        ),
        stored(
            "`Content-Length` with zeros before it",
            "PUT / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 00000000000000000000000005\r\n\r\n",
        ),
    ]
}

fn both() -> Vec<Case> {
    let content_length_first =
        "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunked_first =
        "PUT / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\nconnection: close\r\n\r\n";
    let without_close = "PUT / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n";
    let small = |client, head| Case {
        client,
        head,
        body: chunked(&[10]),
        answers: &[200],
        seen: Sight::Whole(10),
    };
    let large = |client, head| Case {
        client,
        head,
        body: chunked(&[FREE as usize / 2; 4]),
        answers: &[507],
        seen: Sight::Broken(FREE),
    };
    let mut hidden = chunked(&[10]);
    hidden.extend(b"PUT /hidden HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\n\r\nx");
    vec![
        small("`Content-Length: 5`, then chunked, 10 bytes", content_length_first),
        small("chunked, then `Content-Length: 5`, 10 bytes", chunked_first),
        large(
            "`Content-Length: 5`, then chunked, more than fits",
            content_length_first,
        ),
        large("chunked, then `Content-Length: 5`, more than fits", chunked_first),
        Case {
            client: "both, and a second request behind the chunks",
            head: without_close,
            body: hidden,
            answers: &[200],
            seen: Sight::Whole(10),
        },
    ]
}

fn wrong() -> Vec<Case> {
    vec![
        Case {
            client: "more bytes than `Content-Length` says",
            head: "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n",
            body: b"hello and more\r\n\r\n".to_vec(),
            answers: &[200, 400],
            seen: Sight::Whole(5),
        },
        Case {
            client: "fewer bytes than `Content-Length` says, and goes",
            head: "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 500000\r\n\r\n",
            body: b"hello".to_vec(),
            answers: &[],
            seen: Sight::Broken(5),
        },
    ]
}
