//! What people write themselves: look at the disk for every request.

use std::path::Path;

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;

const FLOOR: u64 = 1 << 20;

/// With the system call.
pub async fn statvfs(request: Request, next: Next) -> Response {
    let available = match rustix::fs::statvfs(".") {
        Ok(told) => told.f_bavail * told.f_frsize,
        Err(_) => 0,
    };
    go_on(available, request, next).await
}

/// With the list that `sysinfo` makes, and the mount point that is the longest beginning of the path.
pub async fn sysinfo(request: Request, next: Next) -> Response {
    let here = std::env::current_dir().unwrap_or_default();
    go_on(available(&here), request, next).await
}

fn available(path: &Path) -> u64 {
    let disks = sysinfo::Disks::new_with_refreshed_list();
    let holding = disks.iter().filter(|disk| path.starts_with(disk.mount_point()));
    holding
        .max_by_key(|disk| disk.mount_point().as_os_str().len())
        // In a container none may be listed: the price is the same.
        .map_or(u64::MAX, sysinfo::Disk::available_space)
}

async fn go_on(available: u64, request: Request, next: Next) -> Response {
    let length = request.headers().get(http::header::CONTENT_LENGTH);
    let length: u64 = length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    if available < length.saturating_add(FLOOR) {
        return StatusCode::INSUFFICIENT_STORAGE.into_response();
    }
    next.run(request).await
}

/// Nothing but `from_fn`, to know what that takes.
pub async fn nothing(request: Request<Body>, next: Next) -> Response {
    next.run(request).await
}
