//! gRPC-Web: as gRPC, trailers-only (PROTOCOL-WEB.md). A browser hides headers from a page of another origin unless they
//! are named.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::ACCESS_CONTROL_EXPOSE_HEADERS};

use super::{document, grpc::insert_status};
use crate::{
    capacity::Refusal,
    respond::{RenderContext, Renderer},
};

pub(super) struct GrpcWeb;

impl Renderer for GrpcWeb {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let mut response = document(StatusCode::OK, "application/grpc-web+proto", Bytes::new());
        insert_status(&mut response, refusal, context);
        let named = HeaderValue::from_static("grpc-status, grpc-message, grpc-retry-pushback-ms");
        response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, named);
        response
    }
}
