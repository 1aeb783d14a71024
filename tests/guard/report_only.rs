//! Rolling out: everything is reported, nothing is refused.

use std::sync::{Arc, Mutex};

use tower::{Layer, service_fn};
use tower_storage_guard::{Event, Reason};

use crate::support::*;

#[tokio::test]
async fn nothing_is_refused_and_all_is_told() {
    let disk = disk(1000);
    let told: Arc<Mutex<Vec<(Reason, bool)>>> = Arc::default();
    let sink = told.clone();
    let layer = guarding(disk.resource())
        .max_body(5000)
        .report_only(true)
        .observer(move |event: &Event<'_>| {
            if let Event::Refused { refusal, enforced, .. } = event {
                sink.lock().unwrap().push((refusal.reason(), *enforced));
            }
        })
        .build()
        .unwrap();
    let service = layer.layer(service_fn(reads_all));
    for (body, why) in [
        (zeros(900), None),
        (zeros(900), Some(Reason::Space)),
        (zeros(5001), Some(Reason::TooLarge)),
    ] {
        assert_eq!(status(&service, body).await, 200);
        assert_eq!(told.lock().unwrap().pop(), why.map(|reason| (reason, false)));
    }
    // What would have been refused takes nothing from those that would not.
    assert_eq!(disk.report().headroom, 100);

    let streaming = layer.layer(service_fn(reads_all));
    assert_eq!(status(&streaming, chunks(&[60, 60, 60, 60])).await, 200);
    assert_eq!(*told.lock().unwrap(), [(Reason::Space, false)], "told once a request");
    assert_eq!(disk.sample().headroom, 1000);
}

#[tokio::test]
async fn enforcing_tells_as_well() {
    let told: Arc<Mutex<Vec<(Reason, bool)>>> = Arc::default();
    let sink = told.clone();
    let observer = move |event: &Event<'_>| {
        if let Event::Refused { refusal, enforced, .. } = event {
            sink.lock().unwrap().push((refusal.reason(), *enforced));
        }
    };
    let layer = guarding(disk(10).resource()).observer(observer).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    assert_eq!(status(&service, zeros(11)).await, 507);
    assert_eq!(status(&layer.layer(service_fn(reads_all)), chunks(&[6, 6])).await, 507);
    assert_eq!(*told.lock().unwrap(), [(Reason::Space, true), (Reason::Space, true)]);
}
