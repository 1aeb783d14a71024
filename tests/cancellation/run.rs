//! One request, polled by hand, up to a point.

use std::{
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
use tower::{BoxError, Layer, Service, service_fn};
use tower_storage_guard::{Guarded, StorageFailure, test_util::ScriptedBody};

use crate::scenes::{Scene, Style, World};

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
    /// What the tenants should be charged with.
    pub(crate) stored: u64,
    pub(crate) wakers: usize,
}

/// What the handler and the test both see.
#[derive(Default)]
struct Shared {
    body_polls: AtomicUsize,
    handed: AtomicU64,
    was_cut: AtomicBool,
    elsewhere: Mutex<Option<Guarded<ScriptedBody>>>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

struct Planned;

pub(crate) fn run(scene: &Scene, cut: Cut) -> Ran {
    let world = scene.world();
    let shared = Arc::new(Shared::default());
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let style = scene.style;
    let in_handler = shared.clone();
    let mut service = world
        .layer
        .layer(service_fn(move |request: Request<Guarded<ScriptedBody>>| {
            handle(request.into_body(), in_handler.clone(), style, cut)
        }));
    let request = Request::put("/")
        .header("x-tenant", "t")
        .body((scene.upload)())
        .unwrap();
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
        let mut reading = Box::pin(read(body, shared.clone(), cut));
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
    drop(waker);
    Ran {
        world,
        status,
        was_cut: was_cut || shared.was_cut.load(Relaxed),
        moves,
        body_polls: shared.body_polls.load(Relaxed),
        response_polls,
        stored: if is_stored { shared.handed.load(Relaxed) } else { 0 },
        wakers: Arc::strong_count(&flag) - 1,
    }
}

async fn handle(
    body: Guarded<ScriptedBody>,
    shared: Arc<Shared>,
    style: Style,
    cut: Cut,
) -> Result<Response<ScriptedBody>, BoxError> {
    pause().await;
    if style == Style::AnswersFirst {
        *shared.elsewhere.lock().unwrap() = Some(body);
    } else {
        read(body, shared, cut).await?;
    }
    // Flushes.
    pause().await;
    pause().await;
    let mut response = Response::new(ScriptedBody::new().data(10).pause().data(10).trailers());
    match style {
        Style::Fails => return Err("a handler that fails".into()),
        Style::FailsLate => {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            let failure = StorageFailure::from_error(&full).unwrap();
            response.extensions_mut().insert(failure);
        }
        Style::Reads | Style::AnswersFirst => {}
    }
    Ok(response)
}

/// Reads to the end, or as far as it is allowed to.
async fn read(mut body: Guarded<ScriptedBody>, shared: Arc<Shared>, cut: Cut) -> Result<(), BoxError> {
    poll_fn(|context| {
        loop {
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
                }
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
            }
        }
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
