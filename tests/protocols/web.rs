//! gRPC-Web and Connect, byte by byte.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use axum::{Router, body::Bytes, routing::post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_storage_guard::{Reason, StorageGuardLayer, test_util::FakeResource};

/// Its room is 100 bytes.
async fn server() -> SocketAddr {
    let disk = FakeResource::new(1000, 100);
    let guard = StorageGuardLayer::builder().resource(disk.resource()).build();
    let app = Router::new()
        .route("/package.Service/Method", post(async |_: Bytes| "stored"))
        .layer(guard.expect("valid settings"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn grpc_web_is_told_in_headers_that_a_page_may_read() {
    let server = server().await;
    for answer in refused(server, "Content-Type: application/grpc-web+proto").await {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/grpc-web+proto"));
        assert_eq!(answer.header("grpc-status"), Some("8"));
        assert_eq!(answer.header("grpc-message"), Some(Reason::Space.as_str()));
        let exposed = answer.header("access-control-expose-headers").expect("told");
        assert!(
            exposed.contains("grpc-status") && exposed.contains("grpc-message"),
            "{exposed}"
        );
        assert!(answer.body.is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn connect_calls_are_told_in_json() {
    let server = server().await;
    let head = "Content-Type: application/json\r\nConnect-Protocol-Version: 1";
    for answer in refused(server, head).await {
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let error: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(
            error,
            json!({"code": "resource_exhausted", "message": Reason::Space.as_str()})
        );
    }
}

#[tokio::test]
async fn connect_streams_end_with_the_error() {
    let server = server().await;
    for format in ["proto", "json"] {
        let content_type = format!("application/connect+{format}");
        for answer in refused(server, &format!("Content-Type: {content_type}")).await {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), Some(&*content_type));
            let (head, message) = answer.body.split_at(5);
            assert_eq!(head[0], 2, "the end of the stream");
            let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes"));
            assert_eq!(length as usize, message.len());
            let message: Value = serde_json::from_slice(message).expect("JSON");
            assert_eq!(
                message,
                json!({"error": {"code": "resource_exhausted", "message": Reason::Space.as_str()}})
            );
        }
    }
}

/// The answers to a request that tells its length, and to one whose chunks outgrow the room.
async fn refused(server: SocketAddr, head: &str) -> [Answer; 2] {
    let content = "x".repeat(60);
    let bodies = [
        format!("Content-Length: 120\r\n\r\n{content}{content}"),
        format!("Transfer-Encoding: chunked\r\n\r\n3c\r\n{content}\r\n3c\r\n{content}\r\n0\r\n\r\n"),
    ];
    let requests = bodies.map(|body| {
        format!("POST /package.Service/Method HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{head}\r\n{body}")
    });
    let answers = tokio::task::spawn_blocking(move || requests.map(|request| send(server, &request)));
    answers.await.expect("they were answered")
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn send(server: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(server).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).expect("text");
    Answer {
        status: head[9..12].parse().expect("a status"),
        head,
        body,
    }
}
