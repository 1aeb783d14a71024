//! Requests, handlers and answers that many tests need.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_storage_guard::{
    BodyError, Guarded, Reason, Refusal, Resource, ResponseBody, StorageGuardBuilder, StorageGuardLayer,
    test_util::{FakeResource, ScriptedBody},
};

pub(crate) type Answer = Response<ResponseBody<Full<Bytes>>>;

/// A resource with this many bytes free of a million, and a layer on it.
pub(crate) fn disk(available: u64) -> FakeResource {
    FakeResource::new(1_000_000, available)
}

pub(crate) fn guarding(resource: Resource) -> StorageGuardBuilder {
    StorageGuardLayer::builder().resource(resource)
}

/// A handler that reads its whole body and tells how long it was.
pub(crate) async fn reads_all<B>(request: Request<Guarded<B>>) -> Result<Response<Full<Bytes>>, BoxError>
where
    B: Body,
    Guarded<B>: Body<Data = Bytes, Error = BodyError>,
{
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::from(body.len().to_string())))
}

/// A handler that never looks at its body.
pub(crate) async fn reads_nothing<B>(_: Request<Guarded<B>>) -> Result<Response<Full<Bytes>>, BoxError> {
    Ok(Response::new(Full::default()))
}

pub(crate) fn put<B>(body: B) -> Request<B> {
    Request::put("/").body(body).unwrap()
}

pub(crate) fn zeros(bytes: usize) -> Full<Bytes> {
    Full::from(vec![0; bytes])
}

/// A body of unknown length, in frames of these sizes.
pub(crate) fn chunks(frames: &[usize]) -> ScriptedBody {
    frames.iter().fold(ScriptedBody::new(), |body, bytes| body.data(*bytes))
}

/// The request body of a service that has answered already.
pub(crate) async fn in_hand(layer: &StorageGuardLayer, body: ScriptedBody) -> Guarded<ScriptedBody> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let service = layer.layer(service_fn(move |request: Request<Guarded<ScriptedBody>>| {
        sender.send(request.into_body()).unwrap();
        async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) }
    }));
    assert_eq!(service.oneshot(put(body)).await.unwrap().status(), 200);
    receiver.recv().unwrap()
}

pub(crate) async fn status<S, B>(service: &S, body: B) -> StatusCode
where
    S: Service<Request<B>, Response = Answer, Error: std::fmt::Debug> + Clone,
{
    service
        .clone()
        .oneshot(put(body))
        .await
        .expect("the guard answers")
        .status()
}

pub(crate) fn reason<B>(response: &Response<B>) -> Option<Reason> {
    response.extensions().get::<Refusal>().map(Refusal::reason)
}
