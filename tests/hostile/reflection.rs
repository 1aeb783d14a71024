//! Nothing that a client says is said again.

use tower_storage_guard::{Linger, State};

use crate::{case::assert_at_rest, raw::Client, server::Server, table::Row};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "reflection::a_refusal_says_nothing_of_the_request",
            "refused in each of fifteen formats; the same word in path, query, host and headers, also behind `%0d%0a`",
            "a refusal without that word",
            "nothing",
        ),
        Row::new(
            "reflection::lines_cannot_be_split",
            "a bare CR, LF or NUL in a header or the path",
            "400",
            "nothing",
        ),
    ]
}

const WORD: &str = "canary7f3a";

const FORMATS: [(&str, &str, &str, u16); 15] = [
    ("PUT", "/", "accept: application/json, CANARY/x", 507),
    ("PUT", "/", "accept: text/html, CANARY/x", 507),
    ("PUT", "/", "accept: text/plain, CANARY/x", 507),
    ("PUT", "/v2/CANARY/blobs/uploads/", "accept: CANARY/x", 507),
    (
        "PUT",
        "/v1/traces",
        "content-type: application/x-protobuf; x=CANARY",
        503,
    ),
    ("POST", "/CANARY", "content-type: application/grpc+CANARY", 200),
    ("POST", "/CANARY", "content-type: application/grpc-web+CANARY", 200),
    ("POST", "/CANARY", "content-type: application/grpc-web-text+CANARY", 200),
    ("POST", "/CANARY", "content-type: application/connect+CANARY", 200),
    ("POST", "/CANARY", "connect-protocol-version: CANARY", 429),
    ("PATCH", "/CANARY", "tus-resumable: CANARY", 507),
    ("PATCH", "/CANARY", "upload-draft-interop-version: CANARY", 507),
    ("POST", "/CANARY", "accept: application/vnd.git-lfs+json; x=CANARY", 507),
    ("PUT", "/CANARY", "authorization: AWS4-HMAC-SHA256 CANARY", 507),
    ("MKCOL", "/CANARY", "x: CANARY", 507),
];

#[test]
fn a_refusal_says_nothing_of_the_request() {
    let server = Server::start(Linger::off());
    server.disk.force_state(Some(State::Full));
    for (method, path, line, status) in FORMATS {
        let head = format!(
            "{method} {path}%0d%0aset-cookie:%20CANARY?q=%3CCANARY%3E&CANARY HTTP/1.1\r\n\
             host: CANARY\r\n{line}\r\norigin: http://CANARY\r\nreferer: http://CANARY/\r\nuser-agent: CANARY\r\n\
             x-request-id: CANARY\r\nx-forwarded-host: CANARY\r\ncookie: CANARY=CANARY\r\nrange: CANARY\r\n\
             upload-length: CANARY\r\ncontent-length: 100000\r\nconnection: close\r\n\r\n"
        );
        let path_of_its_own = path == "/v1/traces";
        let head = if path_of_its_own {
            head.replace("%0d%0aset-cookie:%20CANARY", "")
        } else {
            head
        };
        let mut client = Client::connect(server.address);
        client.send(head.replace("CANARY", WORD).as_bytes()).unwrap();
        let received = client.rest();
        assert!(
            received.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {received}"
        );
        let received = received.to_ascii_lowercase();
        for never in [WORD, "set-cookie", "%0d"] {
            assert!(!received.contains(never), "{line}: {received}");
        }
        let (_, body) = received.split_once("\r\n\r\n").expect("a head");
        // In base64 it would not show.
        if line.contains("web-text") {
            assert!(
                body.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)),
                "{body}"
            );
        }
    }
    server.disk.force_state(None);
    assert_at_rest(&server);
    assert_eq!(server.seen(), []);
}

#[test]
fn lines_cannot_be_split() {
    let server = Server::start(Linger::off());
    for head in [
        "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\nx: a\rset-cookie: b\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\nx: a\0b\r\n\r\n",
        "PUT /a\rset-cookie:b HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\n\r\n",
        "PUT /a\nset-cookie:b HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\n\r\n",
        "PUT /a\0b HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\nx\n: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length : 99999999\r\n\r\n",
    ] {
        let mut client = Client::connect(server.address);
        client.send(head.as_bytes()).unwrap();
        let received = client.rest();
        assert!(received.starts_with("HTTP/1.1 400 "), "{head:?}: {received}");
        assert!(!received.to_ascii_lowercase().contains("set-cookie"), "{received}");
    }
    assert_at_rest(&server);
    assert_eq!(server.seen(), []);
}
