//! The whole of hyper and axum, with memory for a socket.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use axum::{Router, body::Bytes, routing::post};
use http::Request;
use http_body::Body;
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
};
use hyper_util::service::TowerToHyperService;
use tower::Service;

use crate::meter::{Bench, Meter};

/// A connection whose client sends the same request again and again, each after the answer to the one before.
struct Client {
    request: Vec<u8>,
    left: usize,
    answers: usize,
    may_send: bool,
}

impl Client {
    fn new(times: usize) -> Self {
        let mut request = b"POST / HTTP/1.1\r\nhost: files.example.org\r\nuser-agent: uploader/1.0\r\naccept: */*\r\n\
            content-type: application/octet-stream\r\ncontent-length: 1024\r\n\r\n"
            .to_vec();
        request.extend([7; 1024]);
        Self {
            request,
            left: times,
            answers: 0,
            may_send: true,
        }
    }
}

impl Read for Client {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 && self.may_send {
            return Poll::Ready(Ok(()));
        }
        if !self.may_send {
            return Poll::Pending;
        }
        assert!(buffer.remaining() >= self.request.len(), "read in one piece");
        buffer.put_slice(&self.request);
        self.left -= 1;
        self.may_send = false;
        Poll::Ready(Ok(()))
    }
}

impl Write for Client {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.answers += usize::from(buffer.starts_with(b"HTTP/1.1 200 OK"));
        self.may_send = true;
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What takes a body whole.
pub fn router() -> Router {
    Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() }))
}

/// A server of this service, of which one connection asks `n` times.
pub fn connection<S, R>(subject: &'static str, service: S) -> Bench
where
    S: Service<Request<Incoming>, Response = http::Response<R>> + Clone + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Bench::new(subject, move |meter: &mut dyn Meter, n| {
        let client = Client::new(n);
        let service = TowerToHyperService::new(service.clone());
        let mut connection = pin!(http1::Builder::new().serve_connection(client, service));
        let mut context = Context::from_waker(Waker::noop());
        meter.measure(&mut || {
            let mut polls = 0;
            while connection.as_mut().poll(&mut context).is_pending() {
                polls += 1;
                assert!(polls < 16 * n + 100, "{subject}: stuck");
            }
        });
    })
}
