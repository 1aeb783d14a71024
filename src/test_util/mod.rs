//! A test kit: probes that say what a test wants, a clock that stands still, and bodies by script.
//!
//! Needs the feature `test-util`; put it under `[dev-dependencies]`. A test of your own service, with Tower's `oneshot`:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Empty, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_storage_guard::{Guarded, Reason, Refusal, State, StorageGuardLayer, test_util::FakeResource};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // 1000 bytes in all, 100 of them free, nothing needs to stay free.
//! let disk = FakeResource::new(1000, 100);
//! let guard = StorageGuardLayer::builder().resource(disk.resource()).build().unwrap();
//! let service = ServiceBuilder::new().layer(guard).service_fn(|request: Request<Guarded<Full<Bytes>>>| async {
//!     let stored = request.into_body().collect().await?.to_bytes();
//!     Ok::<_, tower::BoxError>(Response::new(Full::new(stored)))
//! });
//! let put = |bytes: usize| Request::put("/").body(Full::from(vec![0; bytes])).unwrap();
//!
//! let fits = service.clone().oneshot(put(60)).await.unwrap();
//! assert_eq!(fits.status(), StatusCode::OK);
//!
//! // The 60 bytes stay held until the probe has had a chance to see them.
//! let later = service.clone().oneshot(put(60)).await.unwrap();
//! assert_eq!(later.status(), StatusCode::INSUFFICIENT_STORAGE);
//! let refusal = later.extensions().get::<Refusal>().unwrap();
//! assert_eq!(refusal.reason(), Reason::Space);
//!
//! disk.sample(); // The fake disk still has 100 bytes free.
//! assert_eq!(service.clone().oneshot(put(60)).await.unwrap().status(), StatusCode::OK);
//!
//! let never = service.clone().oneshot(put(1001)).await.unwrap();
//! assert_eq!(never.status(), StatusCode::PAYLOAD_TOO_LARGE);
//!
//! disk.force_state(Some(State::Full));
//! assert_eq!(service.oneshot(put(1)).await.unwrap().status(), StatusCode::INSUFFICIENT_STORAGE);
//! # }
//! ```

pub use crate::clock::ManualClock;

mod fake_probe;
mod fake_resource;
mod fake_store;
mod scripted_body;

pub use fake_probe::FakeProbe;
pub use fake_resource::FakeResource;
pub use fake_store::{FakeStore, StoreSnapshot};
pub use scripted_body::{ScriptError, ScriptedBody};
