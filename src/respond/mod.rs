//! HTTP's words: what a request wants to store, and how it is told that it cannot.

mod classify;
mod format;
mod length;
mod page;
mod problem;
mod render;
mod retry_after;
mod text;

pub use classify::{Class, Classifier, DefaultClassifier};
pub(crate) use format::Format;
pub(crate) use length::{LengthHints, demand};
pub(crate) use render::{Answers, Remembered};
pub use render::{Renderer, RequestHead};
pub use retry_after::RetryAfter;
