//! Bodies of any frames, lengths and ends, given up at any time, through a whole guard with two disks and a tenant.
#![no_main]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use tower::{BoxError, Layer, Service, service_fn};
use tower_storage_guard::{
    Guarded, Ledger, Limit, Reading, Refusal, StorageGuardLayer, TenantKey, WriteBuffer,
    test_util::{FakeResource, ScriptedBody},
};
use tower_storage_guard_fuzz::{Input, Ready};

/// Half a MiB and less.
const LARGEST_FRAME: u64 = 1 << 19;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let free = [u64::from(input.u16()) * 64, u64::from(input.u16()) * 64];
    let limit = u64::from(input.u16()) * 64;
    let write_buffer = match input.below(3) {
        0 => WriteBuffer::Whole,
        1 => WriteBuffer::Bytes(0),
        _ => WriteBuffer::Bytes(u64::from(input.u16())),
    };
    let maximum = match input.below(3) {
        0 => u64::from(input.u16()) * 64,
        _ => u64::MAX,
    };
    let is_report_only = input.below(8) == 0;
    let (polls, reads, fails) = (input.byte(), input.byte(), input.below(4) == 0);
    let mut script = ScriptedBody::new();
    match input.below(3) {
        0 => script = script.telling_length(u64::from(input.u16()) * 64),
        1 => script = script.telling_length(u64::from(input.byte())),
        _ => {}
    }
    while !input.is_empty() {
        script = match input.below(16) {
            0..=5 => script.data(usize::from(input.byte())),
            6..=9 => script.data(usize::from(input.u16()) * 8),
            10..=12 => script.pause(),
            13 => script.trailers(),
            14 => script.error("reset"),
            _ => script.hang(),
        };
    }

    let disks = free.map(|free| FakeResource::with(Reading::new(1 << 40, free), |builder| builder));
    let ledger = Ledger::builder().default_limit(Limit::bytes(limit)).build().unwrap();
    let mut builder = StorageGuardLayer::builder()
        .write_buffer(write_buffer)
        .max_body(maximum)
        .report_only(is_report_only)
        .tenant(ledger.clone(), everybody());
    for disk in &disks {
        builder = builder.resource(disk.resource());
    }
    let layer = builder.build().unwrap();
    let handed = Arc::new(AtomicU64::new(0));
    let counter = handed.clone();
    let mut service = layer.layer(service_fn(move |request: Request<Guarded<ScriptedBody>>| {
        read(request.into_body(), counter.clone(), reads, fails)
    }));
    let mut future = Box::pin(service.call(Request::put("/").body(script).unwrap()));
    drop(service);
    let mut context = Context::from_waker(Waker::noop());
    let mut answer = None;
    for _ in 0..=polls {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            answer = Some(outcome);
            break;
        }
        let held: u64 = disks.iter().map(|disk| disk.report().held).max().unwrap_or(0);
        assert!(is_report_only || held <= free[0].max(free[1]));
    }
    drop(future);
    let mut stored = 0;
    let handed = handed.load(Relaxed);
    if let Some(Ok(response)) = answer {
        let refusal = response.extensions().get::<Refusal>();
        assert_eq!(
            refusal.is_some(),
            !response.status().is_success() && response.status() != 400
        );
        if refusal.is_none() && response.status().is_success() {
            stored = handed;
        }
        let _ = tower_storage_guard_fuzz::at_once(response.into_body().collect());
    }
    if !is_report_only {
        let least = free[0].min(free[1]).min(limit).min(maximum);
        assert!(handed <= least, "{handed} bytes were handed on, and {least} fit");
    }
    for (disk, free) in disks.iter().zip(free) {
        assert_eq!(disk.report().held, 0);
        assert_eq!(disk.sample().headroom, free as i64);
        assert_eq!(disk.report().unseen, 0);
    }
    let usage = ledger.usage("everybody");
    assert_eq!((usage.used, usage.reserved), (stored, 0));
    assert!(LARGEST_FRAME >= u64::from(u16::MAX) * 8);
});

fn everybody() -> impl TenantKey {
    |_: &http::request::Parts| Some("everybody".to_owned())
}

/// So many frames, then it has enough.
async fn read(
    mut body: Guarded<ScriptedBody>,
    handed: Arc<AtomicU64>,
    frames: u8,
    fails: bool,
) -> Result<Response<Ready>, BoxError> {
    let mut response = Response::new(Ready::default());
    for _ in 0..frames {
        let _ = (body.size_hint(), body.is_end_stream());
        match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            None => break,
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                handed.fetch_add(bytes, Relaxed);
            }
            Some(Err(_)) if fails => return Err("it failed".into()),
            Some(Err(_)) => {
                *response.status_mut() = http::StatusCode::BAD_REQUEST;
                break;
            }
        }
    }
    Ok(response)
}
