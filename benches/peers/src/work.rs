//! Requests, bodies and the service behind every layer.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    marker::PhantomData,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tower::Service;

use crate::meter::{Bench, Meter};

/// What most requests send.
pub const LENGTH: usize = 1024;
static CONTENT: [u8; LENGTH] = [7; LENGTH];

pub fn content() -> Full<Bytes> {
    Full::new(Bytes::from_static(&CONTENT))
}

/// A body that does not tell its length, as one that is sent in chunks.
pub struct Chunked<B>(pub B);

impl<B: Body + Unpin> Body for Chunked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// With the headers that a program's upload has.
pub fn request<B>(method: Method, length: Option<usize>, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("files.example.org"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("uploader/1.0"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    match length {
        Some(length) => headers.insert(header::CONTENT_LENGTH, length.into()),
        None => headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    };
    request
}

pub fn post() -> Request<Full<Bytes>> {
    request(Method::POST, Some(LENGTH), content())
}

pub fn post_chunked() -> Request<Chunked<Full<Bytes>>> {
    request(Method::POST, None, Chunked(content()))
}

/// Reads its body and answers with an empty one.
pub struct Reader<R>(PhantomData<fn() -> R>);

impl<R> Default for Reader<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R> Clone for Reader<R> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<R: Default, B: Body> Service<Request<B>> for Reader<R> {
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        drain(request.into_body());
        ready(Ok(Response::new(R::default())))
    }
}

/// Reads all that is there.
pub fn drain<B: Body>(body: B) {
    let mut body = pin!(body);
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut context) {
        let _ = black_box(frame.is_data());
    }
}

/// One request from the moment that its head is there until its answer is written. Tells the status, 0 for an error.
#[inline(always)]
pub fn exchange<S, B, R>(service: &mut S, request: Request<B>) -> u16
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    let mut context = Context::from_waker(Waker::noop());
    if !matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))) {
        return 0;
    }
    let future = pin!(service.call(request));
    match future.poll(&mut context) {
        Poll::Ready(Ok(response)) => {
            let status = response.status().as_u16();
            drain(response.into_body());
            status
        }
        Poll::Ready(Err(_)) => 0,
        Poll::Pending => panic!("answers at once"),
    }
}

/// A service that answers such requests with such a status. Requests are made before the measurement.
pub fn serving<S, B, R>(
    subject: &'static str,
    mut service: S,
    status: u16,
    mut request: impl FnMut() -> Request<B> + 'static,
) -> Bench
where
    S: Service<Request<B>, Response = Response<R>> + 'static,
    R: Body,
    B: 'static,
{
    assert_eq!(exchange(&mut service, request()), status, "{subject}");
    Bench::new(subject, move |meter: &mut dyn Meter, n| {
        let requests: Vec<_> = (0..n).map(|_| request()).collect();
        let mut requests = requests.into_iter();
        let mut right = 0;
        meter.measure(&mut || {
            for request in requests.by_ref() {
                right += usize::from(exchange(&mut service, request) == status);
            }
        });
        assert_eq!(right, n, "{subject}");
    })
}
