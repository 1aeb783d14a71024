//! Streams of HTTP/2.

use std::{convert::Infallible, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use http::{Request, Response, header::CONNECTION, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};
use tower_storage_guard::Linger;

use crate::{
    raw::PATIENCE,
    server::{FREE, LARGE, Server},
};

/// Longer than any test: whoever waits for it is seen.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn the_connection_goes_on() {
    for linger in [Linger::default(), Linger::off(), Linger::default().on_http2(true)] {
        let server = Server::start(linger);
        with_connection(&server, async |mut sender| {
            for length in [Some(LARGE), None, Some(2 << 20), None] {
                let refused = sender.send_request(put(LARGE, length)).await.expect("an answer");
                assert_eq!(refused.status(), 507);
                assert_eq!(refused.headers().get(CONNECTION), None);
                let problem = refused.into_body().collect().await.expect("whole").to_bytes();
                serde_json::from_slice::<serde_json::Value>(&problem).expect("whole");
                server.disk.sample();
            }
            assert_eq!(
                stored(sender.send_request(put(1000, None)).await.unwrap()).await,
                "1000"
            );
        });
    }
}

/// All streams share one window: what is left unread of one is missing for the others.
#[test]
fn refused_streams_do_not_hold_up_the_others() {
    for linger in [Linger::off(), Linger::default().on_http2(true).hold_for(LONG)] {
        let server = Server::start(linger);
        with_connection(&server, async |mut sender| {
            let mut refused = Vec::new();
            for _ in 0..8 {
                let answer = sender.send_request(put(LARGE, Some(LARGE))).await.expect("an answer");
                assert_eq!(answer.status(), 507);
                // Not looked at, and not given up either.
                refused.push(answer);
            }
            let length = FREE / 2;
            let answer = sender.send_request(put(length, Some(length))).await.unwrap();
            assert_eq!(stored(answer).await, length.to_string());
        });
    }
}

fn with_connection(server: &Server, client: impl AsyncFnOnce(SendRequest<Body>)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("the server speaks HTTP/2");
        tokio::spawn(connection);
        timeout(PATIENCE, client(sender)).await.expect("in time");
    });
}

fn put(bytes: u64, length: Option<u64>) -> Request<Body> {
    let frame = Bytes::from_static(&[0; 1000]);
    let frames = stream::repeat(frame).take(usize::try_from(bytes / 1000).unwrap() + 1);
    let frames = frames.scan(bytes, |left, frame| {
        let frame = frame.slice(..frame.len().min(usize::try_from(*left).unwrap()));
        *left -= frame.len() as u64;
        std::future::ready(Some(Ok::<_, Infallible>(frame)))
    });
    let mut request = Request::put("http://test/").body(Body::from_stream(frames)).unwrap();
    if let Some(length) = length {
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    request
}

async fn stored(answer: Response<Incoming>) -> String {
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
