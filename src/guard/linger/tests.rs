//! What becomes of a refused request's body.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Request;
use http_body::Frame;

use super::*;

fn parts(version: Version, expect: Option<&'static str>) -> Parts {
    let request = Request::put("/").version(version);
    let request = match expect {
        Some(expect) => request.header(EXPECT, expect),
        None => request,
    };
    request.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn each_kind_of_request_has_its_policy() {
    use DrainPolicy::{Drain, Drop, Hold, Read};
    use Version as V;
    let usual = Linger::default();
    let small = SizeHint::with_exact(SMALL);
    for (settings, version, expect, length, expected) in [
        (usual, V::HTTP_11, None, SizeHint::with_exact(0), (Drop, false)),
        (usual, V::HTTP_11, None, SizeHint::with_exact(1), (Drain, false)),
        (usual, V::HTTP_11, None, small, (Drain, false)),
        (usual, V::HTTP_11, None, SizeHint::with_exact(SMALL + 1), (Hold, true)),
        (usual, V::HTTP_10, None, SizeHint::new(), (Hold, true)),
        (usual, V::HTTP_11, Some("100-Continue"), small, (Drop, true)),
        (usual, V::HTTP_11, Some("something else"), small, (Drain, false)),
        (usual, V::HTTP_2, None, small, (Read, false)),
        (usual, V::HTTP_2, Some("100-continue"), small, (Drop, false)),
        (usual.on_http2(false), V::HTTP_2, None, small, (Drop, false)),
        (Linger::off(), V::HTTP_11, None, small, (Drop, true)),
        (usual.connections(0), V::HTTP_11, None, small, (Drop, true)),
        (usual.hold_for(Duration::ZERO), V::HTTP_11, None, small, (Drop, true)),
        (usual.hold_for(Duration::ZERO), V::HTTP_2, None, small, (Drop, false)),
        (Linger::off(), V::HTTP_2, None, small, (Drop, false)),
    ] {
        let told = LingerState::new(settings).policy(&parts(version, expect), &length);
        assert_eq!(told, expected, "{version:?} {expect:?} {length:?}");
    }
    for (settings, is_http1, expected) in [
        (usual, true, Some(Hold)),
        (usual, false, Some(Read)),
        (usual.on_http2(false), false, None),
        (Linger::off(), true, None),
    ] {
        assert_eq!(LingerState::new(settings).policy_after_admission(is_http1), expected);
    }
}

#[test]
fn without_a_runtime_nothing_can_be_kept() {
    let lingering = LingerState::new(Linger::default());
    let told = lingering.policy(&parts(Version::HTTP_11, None), &SizeHint::with_exact(5));
    assert_eq!(told, (DrainPolicy::Drop, true));
}

/// Frames of these sizes, then nothing for now, or the end.
struct Frames {
    sizes: VecDeque<usize>,
    ends: bool,
    read: Arc<AtomicUsize>,
}

impl Frames {
    fn new(sizes: &[usize], ends: bool) -> Self {
        Self {
            sizes: sizes.to_vec().into(),
            ends,
            read: Arc::default(),
        }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.sizes.pop_front() {
            Some(bytes) => {
                self.read.fetch_add(1, Relaxed);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; bytes])))))
            }
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ends && self.sizes.is_empty()
    }
}

#[test]
fn of_what_is_here_a_small_body_is_read() {
    const WHOLE: usize = SMALL as usize;
    for (sizes, ends, is_all, left) in [
        (&[][..], true, true, 0),
        (&[5], true, true, 0),
        (&[5], false, false, 0),
        (&[WHOLE - 1, 1], true, true, 0),
        (&[WHOLE - 1, 1, 1], true, false, 1),
        (&[WHOLE, 1], true, false, 1),
        (&[0; WHOLE + 1], true, false, 1),
    ] {
        let mut body = Frames::new(sizes, ends);
        assert_eq!((drain_buffered(&mut body), body.sizes.len()), (is_all, left));
    }
}

#[tokio::test]
async fn so_much_is_read_and_a_body_that_goes_on_is_held_where_that_makes_sense() {
    use DrainPolicy::{Drain, Drop, Hold, Read};
    const WHOLE: usize = SMALL as usize;
    let hour = Linger::default().read_at_most(10).hold_for(Duration::from_secs(3600));
    for (sizes, ends, policy, read, left) in [
        (&[9, 1, 1][..], true, Hold, 2, 1),
        (&[9, 1], true, Hold, 2, 0),
        (&[9], true, Hold, 1, 0),
        (&[9], false, Hold, 1, 1),
        (&[0; 11], true, Hold, 10, 1),
        (&[39, 1, 1], true, Read, 2, 0),
        (&[39], false, Read, 1, 1),
        (&[WHOLE - 1, 1, 1], true, Drain, 2, 0),
        (&[WHOLE - 1], false, Drain, 1, 1),
        (&[9], true, Drop, 0, 0),
    ] {
        let lingering = LingerState::new(hour);
        let body = Frames::new(sizes, ends);
        let seen = body.read.clone();
        lingering.keep(body, policy);
        tokio::task::yield_now().await;
        let bodies = Arc::strong_count(&seen) - 1;
        assert_eq!((seen.load(Relaxed), bodies), (read, left), "{sizes:?} {policy:?}");
        let takes_a_place = matches!(policy, Hold | Read);
        assert_eq!(lingering.now(), if takes_a_place { left } else { 0 });
        assert_eq!((lingering.so_far(), lingering.overflow()), (takes_a_place.into(), 0));
        assert!(lingering.can_linger());
    }
}

#[tokio::test]
async fn what_is_here_when_the_time_is_up_is_read() {
    let lingering = LingerState::new(Linger::default().hold_for(Duration::ZERO));
    for (ends, policy) in [
        (true, DrainPolicy::Drain),
        (false, DrainPolicy::Drain),
        (false, DrainPolicy::Hold),
    ] {
        let body = Frames::new(&[9, 1], ends);
        let seen = body.read.clone();
        lingering.keep(body, policy);
        while Arc::strong_count(&seen) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(seen.load(Relaxed), 2, "{policy:?}");
    }
}

#[tokio::test]
async fn a_small_body_needs_no_place() {
    let lingering = LingerState::new(Linger::default().connections(1));
    let bodies = [(); 3].map(|()| Frames::new(&[], false));
    let seen = bodies.each_ref().map(|body| body.read.clone());
    lingering.keep(Frames::new(&[], false), DrainPolicy::Hold);
    for body in bodies {
        lingering.keep(body, DrainPolicy::Drain);
    }
    tokio::task::yield_now().await;
    assert!(seen.iter().all(|seen| Arc::strong_count(seen) == 2));
    assert_eq!((lingering.now(), lingering.so_far(), lingering.overflow()), (1, 1, 0));
}

#[tokio::test]
async fn when_the_time_is_up_the_place_is_free_for_another() {
    let lingering = LingerState::new(Linger::default().hold_for(Duration::from_millis(1)).connections(1));
    for kept in 1..3 {
        lingering.keep(Frames::new(&[9], false), DrainPolicy::Hold);
        lingering.keep(Frames::new(&[9], false), DrainPolicy::Hold);
        assert_eq!(
            (lingering.now(), lingering.so_far(), lingering.overflow()),
            (1, kept, kept)
        );
        while lingering.now() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_runtime_without_time_lingers_like_others() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("no timer");
    let lingering = LingerState::new(Linger::default().hold_for(Duration::from_millis(1)));
    runtime.block_on(async {
        lingering.keep(Frames::new(&[9], false), DrainPolicy::Hold);
        assert_eq!(lingering.now(), 1);
        while lingering.now() > 0 {
            tokio::task::yield_now().await;
        }
    });
}
