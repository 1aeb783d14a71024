//! One request, polled by hand, up to a point.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use tokio::runtime::Builder;
use tower::{BoxError, Layer, Service, service_fn};
use tower_storage_guard::{Guarded, StorageFailure, test_util::ScriptedBody};

use crate::{
    scenes::{Keep, Scene, Style},
    watched::{Watched, watched},
    world::World,
};

/// What is given up, after how many polls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    Never,
    /// The response future is dropped; a store that answers counts as a move, too.
    Future(usize),
    /// Whoever has it drops the request's body.
    RequestBody(usize),
    /// The handler panics, or drops the body where it has answered already.
    Panic(usize),
    ResponseBody(usize),
}

pub(crate) struct Ran {
    pub(crate) world: World,
    pub(crate) status: u16,
    pub(crate) was_cut: bool,
    /// Polls of the future, and answers of the store between them.
    pub(crate) moves: usize,
    pub(crate) body_polls: usize,
    pub(crate) response_polls: usize,
    /// Bytes that the handler got.
    pub(crate) handed: u64,
    /// What the tenants should be charged with.
    pub(crate) stored: u64,
    /// Held and unseen bytes of each disk, while only the handler's own clone of the reservation is left.
    pub(crate) while_kept: Vec<(u64, u64)>,
    pub(crate) wakers: usize,
    /// The client's body is still there.
    pub(crate) is_body_left: bool,
}

/// What the handler and the test both see.
#[derive(Default)]
struct Shared {
    body_polls: AtomicUsize,
    handed: AtomicU64,
    was_cut: AtomicBool,
    elsewhere: Mutex<Option<Guarded<Watched>>>,
    kept: Mutex<Option<Box<dyn Any + Send>>>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

struct Planned;

pub(crate) fn run(scene: &Scene, cut: Cut) -> Ran {
    // Its tasks never run. The bodies that they keep are dropped with it.
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let entered = runtime.enter();
    let world = scene.world();
    let shared = Arc::new(Shared::default());
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let (style, keep) = (scene.style, scene.keep);
    let in_handler = shared.clone();
    let mut service = world.layer.layer(service_fn(move |request: Request<Guarded<Watched>>| {
        handle(request, in_handler.clone(), style, keep, cut)
    }));
    let (body, watch) = watched((scene.upload)());
    let request = Request::put("/").header("x-tenant", "t").body(body).unwrap();
    let mut future = Box::pin(service.call(request));
    drop(service);

    let mut context = Context::from_waker(&waker);
    let (mut moves, mut response_polls, mut status) = (0, 0, 0);
    let mut was_cut = false;
    let mut answer = None;
    while answer.is_none() {
        if cut == Cut::Future(moves) {
            was_cut = true;
            break;
        }
        moves += 1;
        assert!(moves < 1000, "{}: nobody wakes it", scene.name);
        if !flag.0.swap(false, Relaxed) {
            world.ledgers.iter().for_each(|ledger| _ = ledger.step());
            world.clock.advance(Duration::from_millis(100));
            continue;
        }
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            Ok(Poll::Ready(outcome)) => answer = Some(outcome),
            Ok(Poll::Pending) => {}
            Err(panic) => {
                assert!(panic.is::<Planned>(), "{}: a panic", scene.name);
                break;
            }
        }
    }
    drop(future);
    let mut is_stored = false;
    match answer {
        Some(Ok(response)) => {
            status = response.status().as_u16();
            is_stored = response.status().is_success();
            let mut body = response.into_body();
            loop {
                if cut == Cut::ResponseBody(response_polls) {
                    was_cut = true;
                    break;
                }
                response_polls += 1;
                if let Poll::Ready(None | Some(Err(_))) = Pin::new(&mut body).poll_frame(&mut context) {
                    break;
                }
            }
        }
        Some(Err(_)) => status = 500,
        None => {}
    }
    // Whoever got the body goes on with it, as long as he likes.
    let elsewhere = shared.elsewhere.lock().unwrap().take();
    if let Some(body) = elsewhere {
        let mut reading = Box::pin(read(body, shared.clone(), cut, usize::MAX));
        for _ in 0..1000 {
            match catch_unwind(AssertUnwindSafe(|| reading.as_mut().poll(&mut context))) {
                Ok(Poll::Pending) => {
                    world.ledgers.iter().for_each(|ledger| _ = ledger.step());
                    world.clock.advance(Duration::from_millis(100));
                }
                _ => break,
            }
        }
    }
    let kept = shared.kept.lock().unwrap().take();
    let reports = world.disks.iter().map(|(disk, _)| disk.report());
    let while_kept = match kept {
        Some(_) => reports.map(|report| (report.held, report.unseen)).collect(),
        None => Vec::new(),
    };
    drop(kept);
    drop(entered);
    drop(runtime);
    drop(waker);
    Ran {
        world,
        status,
        was_cut: was_cut || shared.was_cut.load(Relaxed),
        moves,
        body_polls: shared.body_polls.load(Relaxed),
        response_polls,
        handed: shared.handed.load(Relaxed),
        stored: if is_stored { shared.handed.load(Relaxed) } else { 0 },
        while_kept,
        wakers: Arc::strong_count(&flag) - 1,
        is_body_left: watch.is_alive(),
    }
}

async fn handle(
    request: Request<Guarded<Watched>>,
    shared: Arc<Shared>,
    style: Style,
    keep: Option<Keep>,
    cut: Cut,
) -> Result<Response<ScriptedBody>, BoxError> {
    let (parts, body) = request.into_parts();
    *shared.kept.lock().unwrap() = keep.map(|keep| keep(&parts.extensions));
    drop(parts);
    pause().await;
    match style {
        Style::AnswersFirst => *shared.elsewhere.lock().unwrap() = Some(body),
        Style::FailsHalfWay => read(body, shared, cut, 3).await?,
        _ => read(body, shared, cut, usize::MAX).await?,
    }
    // Flushes.
    pause().await;
    pause().await;
    let mut response = Response::new(ScriptedBody::new().data(10).pause().data(10).trailers());
    match style {
        Style::Fails => return Err("a handler that fails".into()),
        Style::FailsLate | Style::FailsHalfWay => {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            let failure = StorageFailure::from_error(&full).unwrap();
            response.extensions_mut().insert(failure);
        }
        Style::Reads | Style::AnswersFirst => {}
    }
    Ok(response)
}

/// Reads to the end, or so many frames, or as far as it is allowed to.
async fn read(mut body: Guarded<Watched>, shared: Arc<Shared>, cut: Cut, mut frames: usize) -> Result<(), BoxError> {
    poll_fn(|context| {
        while frames > 0 {
            let polls = shared.body_polls.load(Relaxed);
            if cut == Cut::RequestBody(polls) || cut == Cut::Panic(polls) {
                shared.was_cut.store(true, Relaxed);
                if matches!(cut, Cut::Panic(_)) {
                    std::panic::resume_unwind(Box::new(Planned));
                }
                return Poll::Ready(Ok(()));
            }
            shared.body_polls.store(polls + 1, Relaxed);
            match std::task::ready!(Pin::new(&mut body).poll_frame(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                    shared.handed.fetch_add(bytes, Relaxed);
                    frames -= 1;
                }
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

async fn pause() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
