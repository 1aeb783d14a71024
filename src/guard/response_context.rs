use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode};

use super::linger::LingerState;
use crate::{admission::LayerContext, respond::RefusalWriter};

/// What a layer needs to answer requests under way. They reach it through their reservations.
pub(super) struct ResponseContext {
    pub(super) refusal_writer: RefusalWriter,
    pub(super) linger: Arc<LingerState>,
    pub(super) stored_if: Option<Box<StoredIf>>,
}

/// Decides from a response's status and headers whether the received body counts as stored.
pub(super) type StoredIf = dyn Fn(StatusCode, &HeaderMap) -> bool + Send + Sync;

/// Noted with a reservation: the request came by HTTP/1.
pub(super) const HTTP1: u8 = 1;
/// The dialect's code begins at this bit of the note.
pub(super) const DIALECT_SHIFT: u32 = 1;

impl ResponseContext {
    /// What the layer has put into its reservations' context.
    #[expect(clippy::expect_used, reason = "a layer puts nothing else there")]
    pub(super) fn of(context: &LayerContext) -> &Self {
        context.response_context.downcast_ref().expect("this layer's own")
    }

    /// Whether a response with this head says that the received body is stored.
    pub(super) fn is_stored(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
        match &self.stored_if {
            Some(is_stored) => is_stored(status, headers),
            None => status.is_success() && headers.get(GRPC_STATUS).is_none_or(|code| code.as_bytes() == b"0"),
        }
    }
}
